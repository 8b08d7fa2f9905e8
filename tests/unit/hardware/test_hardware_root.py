"""Reading from a replaced root: bounded, inside it, and never what is unsafe."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fakes_sysroot import PF_PATH, Sysroot, tree_a
from ramferry.errors import UsageError
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.facts import count_list, discover
from ramferry.hardware.identity import current, named
from ramferry.hardware.root import READ_LIMIT, Node, Root, number, only
from ramferry.metrics.host import Evidence


@pytest.fixture
def tree(tmp_path: Path) -> Sysroot:
    return Sysroot(tmp_path)


@pytest.fixture
def root(tree: Sysroot) -> Root:
    return Root(str(tree.path))


def test_a_file_comes_without_the_white_space_at_its_end(tree: Sysroot, root: Root) -> None:
    tree.file("/sys/x", "0x4940\n\n")
    assert root.read("/sys/x") == Evidence("/sys/x", "0x4940")


def test_terminal_controls_do_not_come_through(tree: Sysroot, root: Root) -> None:
    tree.file("/sys/x", "\x1b[2Jup\nand\tdown")
    assert root.read("/sys/x").content == "\ufffd[2Jup\nand\tdown"


def test_bytes_that_are_no_text_are_replaced(tree: Sysroot, root: Root) -> None:
    tree.at("/sys/x").write_bytes(b"up\xff")
    assert root.read("/sys/x").content == "up\ufffd"


def test_what_is_absent_is_told_from_what_is_of_the_wrong_kind(tree: Sysroot, root: Root) -> None:
    tree.folder("/sys/folder")
    tree.file("/sys/file")
    os.mkfifo(tree.at("/sys/pipe"))
    assert root.read("/sys/none") == Evidence("/sys/none")
    assert root.read("/sys/file/below") == Evidence("/sys/file/below")
    assert root.read("/sys/folder").trouble == "not a regular file"
    assert root.read("/sys/pipe").trouble == "not a regular file"
    assert root.link("/sys/file").trouble == "not a link"
    assert root.listing("/sys/none") == ((), Evidence("/sys/none"))


def test_a_file_without_an_end_is_read_up_to_the_limit(tree: Sysroot, root: Root) -> None:
    tree.file("/sys/x", "a" * (READ_LIMIT + 1))
    assert len(root.read("/sys/x").content or "") == READ_LIMIT


def test_links_stay_inside_the_root(tree: Sysroot, root: Root, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_text("secret")
    tree.file("/etc/inside", "mine")
    tree.link("/sys/absolute", "/etc/inside")
    tree.link("/sys/escape", "../" * 40 + "etc/inside")
    tree.link("/sys/stolen", str(outside))
    tree.link("/sys/loop", "loop")
    assert root.read("/sys/absolute").content == "mine"
    assert root.read("/sys/escape").content == "mine"
    assert root.read("/sys/stolen") == Evidence("/sys/stolen")
    assert root.read("/sys/loop").trouble == os.strerror(errno.ELOOP)


@pytest.mark.parametrize("path", [f"{PF_PATH}/qat/rp2srv", "/sys/x/heartbeat/status"])
def test_what_is_unsafe_is_refused(root: Root, path: str) -> None:
    with pytest.raises(UsageError, match="not safe to read"):
        root.read(path)


def test_a_diagnosis_opens_nothing_unsafe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(str(tree_a(tmp_path).path))
    opened: list[str] = []
    real = os.open

    def spy(path: str, flags: int, *more: int) -> int:
        opened.append(path)
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", spy)
    diagnose(discover(root, current(root)))
    assert any(path.endswith("/qat/cfg_services") for path in opened)
    assert not [path for path in opened if "rp2srv" in path or "heartbeat" in path]


@pytest.mark.parametrize("kind", ["nothing", "file", "empty"])
def test_a_root_that_is_none_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "root"
    if kind == "file":
        path.touch()
    elif kind == "empty":
        path.mkdir()
    with pytest.raises(UsageError, match="is not a system root: it") as error:
        Root(str(path))
    assert "\n" not in str(error.value)


def test_owners_are_named_as_that_root_knows_them(tree: Sysroot, root: Root) -> None:
    tree.node("/dev/vfio/419", 0o660)
    tree.file("/etc/group", "damaged\n::x:\nqat:x:" + "9" * 40 + ":\n")
    content = root.node("/dev/vfio/419").evidence.content
    assert content == f"-rw-rw---- root:{os.getgid()}"


@pytest.mark.parametrize(
    ("mode", "uid", "gids", "opens"),
    [
        (0o600, 0, {0}, True),
        (0o600, 7, {7}, True),
        (0o400, 7, {7}, False),
        (0o660, 9, {8}, True),
        (0o640, 9, {8}, False),
        (0o660, 9, {9}, False),
        (0o606, 9, {9}, True),
        (0o606, 9, {8}, False),
    ],
)
def test_who_may_open_a_node_goes_by_its_mode(
    mode: int, uid: int, gids: set[int], opens: bool
) -> None:
    node = Node(Evidence("/dev/x", "there"), mode, uid=7, gid=8)
    assert node.opens_for(uid, frozenset(gids)) is opens


def test_a_node_that_is_not_there_opens_for_nobody() -> None:
    assert not Node(Evidence("/dev/x")).opens_for(0, frozenset())


def test_a_named_user_has_its_groups(root: Root) -> None:
    assert named(root, "alice").gids == {4321, os.getgid()}
    assert named(root, "mallory").gids == {4322}
    with pytest.raises(UsageError, match="no user eve in /etc/passwd"):
        named(root, "eve")


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), ("-1", -1), ("0x4940", 0x4940), ("", None), ("up", None), ("9" * 5000, None)],
)
def test_numbers(text: str, value: int | None) -> None:
    assert number(Evidence("/sys/x", text)) == value


@pytest.mark.parametrize(
    ("text", "count"),
    [("0-3,8", 5), ("0", 1), ("", 0), (None, 0), ("a-b", 0), ("3-1", 0), ("9" * 5000, 0)],
)
def test_kernel_lists(text: str | None, count: int) -> None:
    assert count_list(text) == count


def test_only_keeps_lines_by_their_beginning() -> None:
    evidence = Evidence("/proc/x", "CapInh:\t0\nCapEff:\t1\n")
    assert only(evidence, "CapEff:") == Evidence("/proc/x", "CapEff: 1")
    assert only(evidence, "Name:") == Evidence("/proc/x", "no line Name:")
    assert only(Evidence("/proc/x"), "Name:") == Evidence("/proc/x")
