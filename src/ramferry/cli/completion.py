"""``ramferry --completion SHELL``: the script by which a shell completes words, and its answers.

click's own scripts, but for bash. Bash cuts what is typed at ``:`` and ``=`` and click's script
puts the pieces together with spaces, so that ``qmp:/run`` would be three words; here the line comes
as it was typed. zsh and fish replace the whole word, of which click leaves ``--option=`` out.
"""

from __future__ import annotations

import os
import re
from typing import Any, ClassVar, Final, NoReturn

import click
from click.shell_completion import (
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

from ramferry.cli.completion_option import VARIABLE

PROGRAM: Final = "ramferry"
_SPECIAL: Final = re.compile(r"([^\w@%+=:,./~-])")
"""What bash would not take as part of a word."""

# nosort: the order of the commands is that of --help
_BASH: Final = """\
%(complete_func)s() {
    local answer kind value
    COMPREPLY=()
    answer=$(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            part) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<<"$answer"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class _Bash(ShellComplete):
    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH
    _known = 0
    """Characters of the word that bash keeps: it replaces only what comes behind a ``:``."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """See ``ShellComplete``: the words in front of the cursor, and the one that is begun."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        ended = line[-1:].isspace() and not line.endswith("\\ ")
        begun = words.pop() if words and not ended else ""
        value = begun.partition("=")[2] if begun.startswith("-") else begun
        if ":" in os.environ.get("COMP_BREAKS", ":"):
            self._known = value.rfind(":") + 1
        return words[1:], begun

    def format_completion(self, item: CompletionItem[str]) -> str:
        """See ``ShellComplete``: what it is, and what bash is to put in."""
        value = str(item.value)
        kind = "part" if item.type == "plain" and value.endswith((":", "/")) else item.type
        new = _SPECIAL.sub(r"\\\1", value[self._known :])
        return f"{kind},{new}"


class _WholeWord(ShellComplete):
    _option = ""
    """``--option=`` where the word begins so."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """See ``ShellComplete``."""
        words, begun = super().get_completion_args()
        if begun.startswith("-"):
            self._option = begun[: begun.find("=") + 1]
        return words, begun

    def format_completion(self, item: CompletionItem[str]) -> str:
        """See ``ShellComplete``."""
        word = CompletionItem(f"{self._option}{item.value}", item.type, item.help)
        return super().format_completion(word)


@add_completion_class
class _Zsh(_WholeWord, ZshComplete): ...


@add_completion_class
class _Fish(_WholeWord, FishComplete): ...


def script(shell: str) -> str:
    """What ``ramferry --completion SHELL`` prints.

    :param shell: one of ``completion_option.SHELLS``.
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell
    # its method would first ask bash for its version, of which this script needs no certain one
    made = kind(click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
    return str(made.source_template % made.source_vars())


def answer(table: click.Command, instruction: str) -> NoReturn:
    """Answer a shell, by the variables that its script has set, and end.

    :param instruction: what is in ``VARIABLE``.
    """
    context: dict[str, Any] = {}
    raise SystemExit(shell_complete(table, context, PROGRAM, VARIABLE, instruction))
