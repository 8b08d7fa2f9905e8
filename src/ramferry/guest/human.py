"""The human monitor: the few commands of QEMU's that have to do with a migration.

Lines end in CR LF, and refusals read as QEMU's do (10.0.13).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ramferry.guest.errors import MonitorError
from ramferry.guest.human_info import ABOUT, OPTIONS
from ramferry.guest.parameters import CAPABILITIES, PARAMETERS, STATUSES
from ramferry.guest.uri import parse
from ramferry.guest.vm import Vm

_WORD: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"]\S*))')


@dataclass(frozen=True, slots=True)
class _Command:
    """One command."""

    run: Callable[[Vm, Sequence[str]], str]
    """Takes its arguments and returns what it prints."""
    usage: str
    """Its line of help, behind its name."""
    most: int = 0
    """Arguments that it takes."""
    options: str = ""
    """Letters that it takes after a ``-``, before its arguments; handed over with the ``-``."""
    alias: str = ""

    def shown(self, name: str) -> str:
        """Its name as the monitor writes it."""
        return f"{name}|{self.alias}" if self.alias else name


class _Misused(Exception):
    """A command line that cannot be read."""


def run(vm: Vm, line: str) -> str:
    """Run one command line; what the monitor prints."""
    name, _, rest = line.strip().partition(" ")
    if name == "info" and rest:
        subject, _, rest = rest.strip().partition(" ")
        return _answer(f"info {subject}", lambda: _info_line(vm, subject, rest))
    return _answer(name, lambda: _line(vm, name, rest)) if name else ""


def _answer(name: str, run: Callable[[], str]) -> str:
    try:
        return _lines(run())
    except _Misused as error:
        return _lines(f'{error}\nTry "help {name}" for more information')
    except MonitorError as error:
        return _lines(f"Error: {error}")


def _line(vm: Vm, typed: str, rest: str) -> str:
    for name, command in _COMMANDS.items():
        if typed in (name, command.alias):
            words = _words(name, rest)
            _check(command.shown(name), words, command.options, command.most)
            return command.run(vm, words)
    return f"unknown command: '{typed}'"


def _info_line(vm: Vm, subject: str, rest: str) -> str:
    if subject not in ABOUT:
        return f"unknown command: 'info {subject}'"
    _check(subject, _words(subject, rest), OPTIONS.get(subject, ""), 0)
    return ABOUT[subject][0](vm)


def _lines(text: str) -> str:
    return "".join(f"{line}\r\n" for line in text.splitlines())


def _words(command: str, text: str) -> list[str]:
    """The arguments of a line; one in double quotes may hold blanks."""
    words, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise _Misused(f"{command}: string expected")
        quoted = match[1]
        words.append(match[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return words


def _check(shown: str, words: Sequence[str], options: str, most: int) -> None:
    """Refuse options that are none, and words too many."""
    given = 0
    for word in words:
        if not word.startswith("-") or not options:
            break
        if word[1:] not in tuple(options):
            raise _Misused(f"{shown}: unsupported option {word}")
        given += 1
    if len(words) - given > most:
        raise _Misused(f"{shown}: extraneous characters at the end of line")


def _argument(command: str, words: Sequence[str], index: int = 0) -> str:
    if len(words) <= index:
        raise _Misused(f"{command}: string expected")
    return words[index]


def _set_parameter(vm: Vm, words: Sequence[str]) -> str:
    name = _argument("migrate_set_parameter", words)
    value = _argument("migrate_set_parameter", words, 1)
    if name not in PARAMETERS:
        raise MonitorError(f"invalid parameter value: {name}")
    vm.set_parameters({name: PARAMETERS[name].parse(name, value)})
    return ""


def _set_capability(vm: Vm, words: Sequence[str]) -> str:
    name = _argument("migrate_set_capability", words)
    if words[1:] not in (["on"], ["off"]):
        raise _Misused("Expected 'on' or 'off'")
    if name not in CAPABILITIES:
        raise MonitorError(f"invalid parameter value: {name}")
    vm.refuse_while_migrating()
    vm.migration.set_capability(name, words[1] == "on")
    return ""


def _migrate(vm: Vm, words: Sequence[str]) -> str:
    options = {word for word in words if word in ("-d", "-r")}
    address = parse(_argument("migrate", [word for word in words if word not in options]))
    if "-r" in options:
        raise MonitorError("Cannot resume if there is no paused migration")
    vm.migrate(address)
    if "-d" in options:
        return ""
    return "terminal does not allow synchronous migration, continuing detached"


def _incoming(vm: Vm, words: Sequence[str]) -> str:
    uri = _argument("migrate_incoming", words)
    vm.refuse_unless_incoming()
    vm.migrate_incoming(parse(uri))
    return ""


def _continue(vm: Vm, words: Sequence[str]) -> str:
    state = _argument("migrate_continue", words)
    if state not in STATUSES:
        raise MonitorError(f"invalid parameter value: {state}")
    vm.proceed(state)
    return ""


def _info(vm: Vm, words: Sequence[str]) -> str:  # noqa: ARG001 - as every command
    return "\n".join(f"info {name} {usage}" for name, (_, usage) in ABOUT.items())


def _help(vm: Vm, words: Sequence[str]) -> str:  # noqa: ARG001 - as every command
    if not words:
        return "\n".join(f"{one.shown(name)} {one.usage}" for name, one in _COMMANDS.items())
    if words[0] == "info" and len(words) > 1 and words[1] in ABOUT:
        return f"info {words[1]} {ABOUT[words[1]][1]}"
    for name, one in _COMMANDS.items():
        if words[0] in (name, one.alias):
            return f"{one.shown(name)} {one.usage}"
    return f"unknown command: '{words[0]}'"


def _plain(do: Callable[[Vm], None]) -> Callable[[Vm, Sequence[str]], str]:
    """A command that takes no argument and prints nothing."""

    def run(vm: Vm, words: Sequence[str]) -> str:  # noqa: ARG001 - as every command
        do(vm)
        return ""

    return run


_COMMANDS: Final[Mapping[str, _Command]] = {
    "cont": _Command(_plain(Vm.cont), "-- let the guest run", alias="c"),
    "help": _Command(_help, "[command] -- what there is", most=2, alias="?"),
    "info": _Command(_info, "[subject] -- tell about the guest"),
    "migrate": _Command(_migrate, "[-d] uri -- send the guest to uri", most=1, options="dr"),
    "migrate_cancel": _Command(_plain(Vm.cancel), "-- keep the guest that is being sent"),
    "migrate_continue": _Command(_continue, "state -- go on from pre-switchover", most=1),
    "migrate_incoming": _Command(_incoming, "uri -- take a guest in at uri", most=1),
    "migrate_set_capability": _Command(
        _set_capability, "capability on|off -- switch it for migrations", most=2
    ),
    "migrate_set_parameter": _Command(
        _set_parameter, "parameter value -- say how the guest migrates", most=2
    ),
    "quit": _Command(_plain(Vm.quit), "-- end the guest", alias="q"),
    "stop": _Command(_plain(Vm.stop), "-- let the guest stand still", alias="s"),
}
