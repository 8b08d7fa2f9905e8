"""Which of QATzip's libraries are installed, found by file name: nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.hardware.root import Root
from ramferry.metrics.evidence import Evidence
from ramferry.vocabulary import QAT_SONAME, QATZIP_SONAME

DIRECTORIES: Final = (
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib",
)
"""Where distributions and Intel's packages put libraries, beside what /etc/ld.so.conf names."""

QATZIP_VERSIONS: Final = {
    "libqatzip.so.3.0.0": "1.0.9 to 1.1.2",
    "libqatzip.so.3.0.1": "1.0.9 to 1.1.2",
    "libqatzip.so.3.0.2": "1.0.9 to 1.1.2",
    "libqatzip.so.3.0.3": "1.2.0",
    "libqatzip.so.3.2.0": "1.3.0 or 1.3.1",
    "libqatzip.so.3.3.0": "2.0.0",
}
"""File name → QATzip's version, as Fedora, Ubuntu and Debian package them. 1.3.2 is not known."""

OUT_OF_TREE_QAT: Final = "libqat_s.so"


@dataclass(frozen=True, slots=True)
class Libraries:
    """Files found, each with what it links to ("" for a plain file)."""

    qatzip: tuple[Evidence, ...]
    """All named libqatzip.so.N, of any N."""
    qat: tuple[Evidence, ...]
    """libqat.so.4, of qatlib."""
    out_of_tree: tuple[Evidence, ...]
    """libqat_s.so, of Intel's own package."""

    @property
    def usable_qatzip(self) -> Evidence | None:
        """The libqatzip that a program would load; None if there is none."""
        return next((file for file in self.qatzip if _name(file) == QATZIP_SONAME), None)

    @property
    def qatzip_version(self) -> str:
        """ "1.3.0 or 1.3.1"; empty if there is none or its file name is not known."""
        file = self.usable_qatzip
        return QATZIP_VERSIONS.get(file.content or "", "") if file else ""


def discover_libraries(root: Root) -> Libraries:
    """Look through the directories that the dynamic linker searches."""
    folders = dict.fromkeys((*DIRECTORIES, *_configured(root)))
    files = [f"{folder}/{name}" for folder in folders for name in root.names(folder)]
    return Libraries(
        qatzip=_found(root, [file for file in files if _is_qatzip(file)]),
        qat=_found(root, [file for file in files if file.endswith(f"/{QAT_SONAME}")]),
        out_of_tree=_found(root, [file for file in files if file.endswith(f"/{OUT_OF_TREE_QAT}")]),
    )


def _is_qatzip(file: str) -> bool:
    """Sonames only: libqatzip.so.3, not libqatzip.so or libqatzip.so.3.2.0."""
    prefix, _, number = file.rpartition("/")[2].rpartition(".")
    return prefix == "libqatzip.so" and number.isdecimal()


def _found(root: Root, files: list[str]) -> tuple[Evidence, ...]:
    links = (root.link(file) for file in files)
    return tuple(Evidence(link.path, link.content or "") for link in links)


def _configured(root: Root) -> list[str]:
    """Directories that /etc/ld.so.conf and the files beside it name."""
    folder = "/etc/ld.so.conf.d"
    texts = [root.read("/etc/ld.so.conf")]
    texts += [root.read(f"{folder}/{name}") for name in root.names(folder)]
    lines = [line.strip() for text in texts for line in (text.content or "").splitlines()]
    return [line.rstrip("/") for line in lines if line.startswith("/") and line.rstrip("/")]


def _name(file: Evidence) -> str:
    return file.path.rpartition("/")[2]
