"""Whatever the files of a host hold, the doctor ends with a report and never with a traceback."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fakes_sysroot import Sysroot, iaa, tree_a, tree_d
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.facts import discover
from ramferry.hardware.identity import current
from ramferry.hardware.method import advise, question_of
from ramferry.hardware.root import Root
from ramferry.metrics.host import DoctorReport
from ramferry.report.doctor import print_doctor
from ramferry.report.lines import Lines

WORDS = st.sampled_from(
    ["", "0", "-1", "64", "up", "dc", "sym;dc", "0x0cfe", "0x4941", "9" * 5000, "a:b:c:d", "[x"]
)
TEXTS = st.one_of(WORDS, st.text(max_size=40)).map(lambda text: text.encode("utf-8", "replace"))
DAMAGE = st.one_of(
    st.tuples(st.just("write"), st.one_of(TEXTS, st.binary(max_size=60))),
    st.tuples(st.just("remove"), st.just(b"")),
    st.tuples(st.just("folder"), st.just(b"")),
    st.tuples(st.just("link"), st.just(b"")),
)


def host(path: Path) -> list[Path]:
    """Both stacks and an IAA on one host; returns its files and links."""
    root: Sysroot = tree_a(path, vfs=2)
    tree_d(path)
    iaa(root)
    root.file("/sys/class/net/eth0/operstate", "up\n")
    root.file("/sys/class/net/eth0/speed", "10000\n")
    root.file("/sys/kernel/debug/qat_4xxx_x/fw_counters", " 0: 1 1\n")
    return sorted(file for file in path.rglob("*") if file.is_file() or file.is_symlink())


@contextmanager
def damaged(file: Path, how: str, content: bytes) -> Iterator[None]:
    """Another kind of thing in a file's place, for as long as the block runs."""
    target = file.readlink() if file.is_symlink() else None
    text, mode = (b"", 0) if target else (file.read_bytes(), file.stat().st_mode)
    file.unlink()
    if how == "write":
        file.write_bytes(content)
    elif how == "folder":
        file.mkdir()
    elif how == "link":
        file.symlink_to(file.name)
    yield
    if how == "folder":
        file.rmdir()
    else:
        file.unlink(missing_ok=True)
    if target:
        file.symlink_to(target)
    else:
        file.write_bytes(text)
        file.chmod(mode)


def test_a_damaged_host_gets_a_report(tmp_path: Path) -> None:
    files = host(tmp_path)
    untouched = report_of(tmp_path)
    wounds = st.lists(
        st.tuples(st.sampled_from(files), DAMAGE), max_size=12, unique_by=lambda wound: wound[0]
    )

    @given(wounds)
    def check(wounds: list[tuple[Path, tuple[str, bytes]]]) -> None:
        with ExitStack() as healing:
            for file, (how, content) in wounds:
                healing.enter_context(damaged(file, how, content))
            report = report_of(tmp_path)
        assert report.exit_code in (0, 10, 11)
        assert report.findings

    check()
    assert report_of(tmp_path) == untouched


def report_of(path: Path) -> DoctorReport:
    """Discovery, diagnosis, advice and drawing: all that a damaged file could upset."""
    root = Root(str(path))
    facts = discover(root, current(root))
    report = diagnose(facts)
    assert advise(question_of(facts, report.qatzip, report.qpl)).rules[-1].applies
    text = io.StringIO()
    print_doctor(report, Lines(Console(file=text, width=80), fold=True))
    assert "\x1b" not in text.getvalue()
    return report
