"""The Debian package, in a Debian 12 that has nothing else: installed, used, removed, purged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ramferry import __version__

CHECKOUT: Final = Path(__file__).resolve().parents[2]
MINUTES: Final = 60
ENVIRON: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(40 * MINUTES)]

# A guest is carried from one process to another through two relays, as a user without rights.
MIGRATE: Final = """
set -e
cd "$(mktemp -d)"
ramferry guest --memory 64M --qmp qmp:a & a=$!
ramferry guest --memory 64M --incoming defer --qmp qmp:b & b=$!
for i in $(seq 600); do [ -S a ] && [ -S b ] && break; sleep 0.1; done
code=0
ramferry migrate qmp:a qmp:b --method zstd --relay both --json - || code=$?
kill $a $b || true
exit $code
"""
ROUND_TRIP: Final = """
set -e
cd "$(mktemp -d)"
head -c 3000000 /bin/bash >file
ramferry compress --keep file
mv file before
gzip -t file.gz
ramferry decompress file.gz
cmp file before
"""
COMPLETE: Final = """
. /usr/share/bash-completion/completions/ramferry
COMP_LINE='ramferry migr' COMP_POINT=13
_ramferry_completion ramferry
echo "${COMPREPLY[@]}"
"""


class Chroot:
    """A Debian below a folder, in which commands are run by root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command there and return its output; its exit code is one of ``codes``."""
        # the mounts go with the process
        inside = ["chroot", str(self.root), "env", "-i"]
        inside += [f"{name}={value}" for name, value in ENVIRON.items()]
        mounts = f'mount -t proc proc {self.root}/proc && exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mounts, "sh", *inside, *command],
            capture_output=True,
            text=True,
            timeout=20 * MINUTES,
            check=False,
        )
        assert done.returncode in codes, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def as_nobody(self, script: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a script as a user without rights."""
        return self.run(
            "setpriv", "--reuid=65534", "--clear-groups", "bash", "-c", script, codes=codes
        )

    def named(self, word: str) -> set[str]:
        """Paths with a word in their last name, of what is not dpkg's or apt's own."""
        kept = {"var/lib/dpkg", "var/cache", "var/log", "var/lib/apt", "proc", "srv"}
        found = set()
        for folder, folders, files in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            folders[:] = [name for name in folders if str(here / name) not in kept]
            found |= {str(here / name) for name in [*folders, *files] if word in name}
        return found


@pytest.fixture(scope="module")
def chroot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    """Debian 12 with the package that `make deb` makes, and man."""
    if os.geteuid() != 0:
        pytest.skip("a chroot takes root's rights")
    package = CHECKOUT / f"dist/ramferry_{__version__}_amd64.deb"
    subprocess.run(["make", "deb"], cwd=CHECKOUT, check=True, timeout=20 * MINUTES)
    subprocess.run([CHECKOUT / "tools/chroot.sh", "bookworm"], check=True, timeout=20 * MINUTES)
    root = tmp_path_factory.mktemp("chroot")
    root.chmod(0o755)
    subprocess.run(
        ["tar", "-xpf", CHECKOUT / "build/chroot/bookworm.tar", "-C", root], check=True, timeout=300
    )
    try:
        yield made(Chroot(root), package)
    finally:
        shutil.rmtree(root)


def made(chroot: Chroot, package: Path) -> Chroot:
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc", name), chroot.root / "etc" / name)
    shutil.copy(package, chroot.root / "srv/ramferry.deb")
    chroot.run("apt-get", "-qq", "update")
    install = ("apt-get", "-qq", "-y", "install", "--no-install-recommends")
    chroot.run(*install, "/srv/ramferry.deb")
    chroot.run(*install, "man-db")
    return chroot


def test_it_runs_as_a_user(chroot: Chroot) -> None:
    assert chroot.as_nobody("ramferry --version") == f"ramferry {__version__}\n"
    # 0 where this host has a QAT device that works, 10 where software does the work
    assert "QATzip" in chroot.as_nobody("ramferry doctor", codes=(0, 10))
    chroot.as_nobody(ROUND_TRIP)


def test_a_relay_carries_a_migration(chroot: Chroot) -> None:
    (result,) = json.loads(chroot.as_nobody(MIGRATE))["results"]
    relays = [(one["method_in"], one["method_out"], one["completed"]) for one in result["relays"]]
    assert relays == [("none", "zstd", True), ("zstd", "none", True)]


def test_its_pages_and_completions_are_found(chroot: Chroot) -> None:
    page = chroot.run("man", "ramferry-migrate")
    assert "live-migrate a QEMU VM" in page
    assert "ramferry-plan-time(1)" in chroot.run("man", "ramferry-plan")
    assert chroot.as_nobody(COMPLETE) == "migrate\n"


def test_everything_can_be_imported_and_nothing_is_written(chroot: Chroot) -> None:
    """By root, who could write: what Python compiles was compiled at the installation."""
    before = chroot.named("")
    chroot.run(
        "/usr/lib/ramferry/bin/python3",
        *("-W", "error", "-c"),
        "import pkgutil, importlib, ramferry\n"
        "for one in pkgutil.walk_packages(ramferry.__path__, 'ramferry.'):\n"
        "    one.name.endswith('__main__') or importlib.import_module(one.name)",
    )
    assert chroot.named("") == before


def test_the_service_is_its_own_users(chroot: Chroot) -> None:
    unit = "ramferry-relay@.service"
    expected = {unit} if (CHECKOUT / "packaging/systemd" / unit).exists() else set()
    assert {Path(path).name for path in chroot.named(unit)} == expected
    # 2: there is none
    found = chroot.run("getent", "passwd", "ramferry", codes=(0, 2))
    assert found.startswith("ramferry:") == bool(expected)


def test_purged_it_leaves_nothing(chroot: Chroot) -> None:
    """The last test: but for the user, as Debian's packages leave theirs."""
    assert "usr/bin/ramferry" in chroot.named("ramferry")
    chroot.run("apt-get", "-qq", "-y", "remove", "ramferry")
    chroot.run("apt-get", "-qq", "-y", "purge", "ramferry")
    assert chroot.named("ramferry") == set()
