"""Writes the package's copyright file: Ramferry's licence, and those of the libraries in it.

python packaging/deb/copyright.py SITE-PACKAGES
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution
from pathlib import Path

HEAD = """\
Ramferry carries a running VM's memory between hosts.
Copyright: its authors, as its history names them.
Licence: Apache-2.0; on Debian systems its text is /usr/share/common-licenses/Apache-2.0.

Beneath {site} are these libraries, unchanged but for what only their
developers need. Copyright: their authors. Their licences' texts lie in the folders that are named.
"""


def licence(library: Distribution) -> str:
    """An SPDX expression where the library states one, else its own words or its classifiers'."""
    facts = library.metadata
    classed = [
        one.rpartition(" :: ")[2]
        for one in facts.get_all("Classifier") or []
        if one.startswith("License :: ")
    ]
    said = facts.get("License-Expression") or ", ".join(classed) or facts.get("License") or ""
    if not said:
        raise SystemExit(f"{library.name}: its licence is not stated")
    return said.strip().partition("\n")[0]


def main() -> None:
    """Write it on standard output."""
    site = Path(sys.argv[1])
    print(HEAD.format(site="/usr/" + str(site).partition("/usr/")[2]))
    for folder in sorted(site.glob("*.dist-info"), key=lambda one: one.name.lower()):
        library = Distribution.at(folder)
        if library.name != "ramferry":
            print(f"{library.name} {library.version}: {licence(library)}; {folder.name}")


if __name__ == "__main__":
    main()
