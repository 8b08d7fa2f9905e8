"""``ramferry compress`` and ``decompress``: files, pipes, terminals, signals and full disks."""

from __future__ import annotations

import gzip
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ramferry.cli import table
from ramferry.cli.tasks import SUFFIXES
from ramferry.errors import CorruptDataError, HostError, RamferryError, UsageError
from ramferry.qatzip import Totals, compress, decompress, stream
from ramferry.vocabulary import FORMATS

TEXT = b"".join(b"page %d of the guest's memory; " % number for number in range(20_000))
RAMFERRY = [sys.executable, "-m", "ramferry"]
LONG_AGO = 1_000_000_000_123_456_789


@pytest.fixture(autouse=True)
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file "pages" with TEXT, of mode 640 and an old mtime, in an otherwise empty folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("pages")
    path.write_bytes(TEXT)
    path.chmod(0o640)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


def ramferry(*arguments: str) -> None:
    """Run a command in this process; it raises what main() turns into a sentence."""
    table.main(list(arguments), standalone_mode=False)


def names() -> list[str]:
    """List the folder, hidden files included."""
    return sorted(os.listdir())


def piped(
    *arguments: str, data: bytes = b"", stdout: int | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with ``data`` in its standard input."""
    return subprocess.run(
        [*prefix, *RAMFERRY, *arguments],
        check=False,
        input=data,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_goes_and_comes_back(format: str, pages: Path) -> None:
    ramferry("compress", "--format", format, "pages")
    packed = Path("pages" + SUFFIXES[format])
    assert names() == [packed.name]
    assert decompress(packed.read_bytes(), format=format).data == TEXT
    for path in (packed, pages):
        status = path.stat()
        assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, LONG_AGO)
        if path == packed:
            ramferry("decompress", packed.name)
    assert names() == ["pages"]
    assert pages.read_bytes() == TEXT


def test_several_files(pages: Path) -> None:
    Path("more").write_bytes(TEXT * 2)
    Path("-dash").write_bytes(b"")
    ramferry("compress", "--keep", "--", "pages", "more", "-dash")
    assert names() == ["-dash", "-dash.gz", "more", "more.gz", "pages", "pages.gz"]
    assert gzip.decompress(Path("more.gz").read_bytes()) == TEXT * 2
    for path in (pages, Path("more"), Path("-dash")):
        path.unlink()
    ramferry("decompress", "--", "pages.gz", "more.gz", "-dash.gz")
    assert names() == ["-dash", "more", "pages"]
    assert [Path(name).stat().st_size for name in names()] == [0, 2 * len(TEXT), len(TEXT)]


def test_level_and_member_size_reach_the_backend() -> None:
    ramferry("compress", "-k", "-L", "7", "--member-size", "1000", "pages")
    assert Path("pages.gz").read_bytes() == compress(TEXT, 7, member_size=1000).data


def test_output_names_the_file_and_the_input_goes_unless_kept(pages: Path) -> None:
    ramferry("compress", "-k", "-o", "packed", "pages")
    assert names() == ["packed", "pages"]
    pages.unlink()
    ramferry("decompress", "-o", "unpacked", "packed")
    assert names() == ["unpacked"]
    assert Path("unpacked").read_bytes() == TEXT


@pytest.mark.parametrize("to_stdout", [["-c"], ["-o", "-"]])
def test_standard_output_keeps_the_input(
    to_stdout: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ramferry("compress", *to_stdout, "pages")
    packed = capfdbinary.readouterr().out
    assert gzip.decompress(packed) == TEXT
    Path("pages.gz").write_bytes(packed)
    ramferry("decompress", *to_stdout, "pages.gz")
    assert capfdbinary.readouterr().out == TEXT
    assert names() == ["pages", "pages.gz"]


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_pipes(arguments: list[str]) -> None:
    packed = piped("compress", *arguments, data=TEXT)
    assert (packed.returncode, packed.stderr) == (0, b"")
    assert gzip.decompress(packed.stdout) == TEXT
    unpacked = piped("decompress", *arguments, data=packed.stdout)
    assert (unpacked.returncode, unpacked.stdout, unpacked.stderr) == (0, TEXT, b"")


def test_a_pipe_into_a_named_file() -> None:
    umask = os.umask(0o027)
    try:
        assert piped("compress", "-o", "out.gz", data=TEXT).returncode == 0
    finally:
        os.umask(umask)
    assert gzip.decompress(Path("out.gz").read_bytes()) == TEXT
    assert Path("out.gz").stat().st_mode & 0o777 == 0o640


def test_the_report_names_sizes_ratio_and_backend(capfd: pytest.CaptureFixture[str]) -> None:
    ramferry("compress", "-v", "-L", "6", "pages")
    size = Path("pages.gz").stat().st_size
    ratio = f"{len(TEXT) / size:.2f}:1"
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"pages: {len(TEXT):,} → {size:,} bytes, {ratio}, libdeflate\n")
    ramferry("decompress", "-v", "pages.gz")
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"pages.gz: {size:,} → {len(TEXT):,} bytes, {ratio}, isa-l\n")


def test_silent_without_verbose(capfd: pytest.CaptureFixture[str]) -> None:
    ramferry("compress", "pages")
    ramferry("decompress", "pages.gz")
    assert capfd.readouterr() == ("", "")


def test_testing_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    ramferry("compress", "pages")
    ramferry("decompress", "--test", "pages.gz")
    assert names() == ["pages.gz"]
    Path("pages.gz").write_bytes(Path("pages.gz").read_bytes()[:-1])
    with pytest.raises(CorruptDataError):
        ramferry("decompress", "--test", "pages.gz")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "target"), [("a.gz", "a"), ("a.tgz", "a.tar"), ("a.b.zz", "a.b"), ("a.4b", "a")]
)
def test_suffixes(name: str, target: str) -> None:
    format = next((key for key, value in SUFFIXES.items() if name.endswith(value)), "gzip")
    Path(name).write_bytes(compress(TEXT, format=format).data)
    ramferry("decompress", name)
    assert names() == sorted([target, "pages"])


def refused(kind: type[RamferryError], sentence: str, *arguments: str) -> None:
    """Run a command that must fail with this sentence and leave the folder as it is."""
    before = {name: os.lstat(name) for name in names()}
    with pytest.raises(kind) as caught:
        ramferry(*arguments)
    assert str(caught.value) == sentence
    assert names() == sorted(before)
    for name, status in before.items():
        after = os.lstat(name)
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        )


def test_what_is_refused_and_why(tmp_path: Path) -> None:
    Path("pages.gz").write_bytes(b"precious")
    Path("folder").mkdir()
    Path("link").symlink_to("pages")
    os.mkfifo("pipe")
    refused(UsageError, "pages.gz exists: --force replaces it", "compress", "pages")
    refused(
        UsageError,
        "pages.gz has the suffix .gz already: --force compresses it",
        *("compress", "pages.gz"),
    )
    refused(
        UsageError,
        "pages has none of the suffixes .gz, .deflate, .4b, .zz, .tgz: name the --output",
        *("decompress", "pages"),
    )
    refused(
        UsageError,
        "link is a link: --keep it, or --force to follow and remove it",
        *("compress", "link"),
    )
    refused(UsageError, "folder is not a regular file", "compress", "-c", "folder")
    refused(UsageError, "pipe is not a regular file", "compress", "pipe")
    refused(UsageError, "pages is the input itself", "compress", "-f", "-o", "pages", "pages")
    refused(UsageError, "pages is the input itself", "compress", "-f", "-k", "-o", "pages", "link")
    refused(
        UsageError,
        "folder exists and is not a regular file: use --stdout",
        *("compress", "-f", "-o", "folder", "pages"),
    )
    refused(
        UsageError,
        "--output names one file, and there are 2 inputs",
        *("compress", "-o", "both", "pages", "pages.gz"),
    )
    refused(UsageError, "cannot read nothing: No such file or directory", "compress", "nothing")
    missing = tmp_path / "missing" / "out.gz"
    refused(
        HostError,
        f"cannot write {missing}: No such file or directory",
        *("compress", "-o", str(missing), "pages"),
    )


def test_force_replaces_compresses_again_and_follows() -> None:
    Path("pages.gz").write_bytes(b"old")
    ramferry("compress", "-f", "-k", "pages")
    assert gzip.decompress(Path("pages.gz").read_bytes()) == TEXT
    ramferry("compress", "-f", "pages.gz")
    assert decompress(decompress(Path("pages.gz.gz").read_bytes()).data).data == TEXT
    Path("link").symlink_to("pages")
    ramferry("compress", "-f", "link")
    assert names() == ["link.gz", "pages", "pages.gz.gz"]


def test_a_file_that_took_the_inputs_name_is_not_removed(
    pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = stream.compress

    def slow(*arguments: Any, **options: Any) -> Totals:
        totals = original(*arguments, **options)
        Path("other").write_bytes(b"written meanwhile")
        Path("other").replace(pages)
        return totals

    monkeypatch.setattr(stream, "compress", slow)
    ramferry("compress", "pages")
    assert names() == ["pages", "pages.gz"]
    assert pages.read_bytes() == b"written meanwhile"
    assert gzip.decompress(Path("pages.gz").read_bytes()) == TEXT


@pytest.mark.parametrize(
    ("damage", "received"),
    [
        (lambda raw: raw[:-1], "the end of the data after"),
        (lambda raw: raw + b"\0x", "trailing bytes that begin 00 78"),
        (lambda raw: raw[:-8] + b"????" + raw[-4:], "data whose CRC is"),
        (lambda _raw: b"", "nothing"),
        (lambda _raw: b"no gzip", "6e 6f 20"),
    ],
    ids=["cut", "trailing", "CRC", "empty", "other"],
)
def test_damage_leaves_the_input_and_no_output(
    damage: Callable[[bytes], bytes], received: str
) -> None:
    Path("pages.gz").write_bytes(damage(bytes(compress(TEXT).data)))
    Path("pages").unlink()
    result = piped("decompress", "pages.gz")
    sentence = result.stderr.decode()
    assert result.returncode == CorruptDataError.exit_code
    assert sentence.startswith("ramferry: pages.gz: expected ")
    assert f", received {received}" in sentence
    assert sentence.count("\n") == 1
    assert names() == ["pages.gz"]


def test_one_bad_file_does_not_stop_the_others() -> None:
    Path("good.gz").write_bytes(compress(TEXT).data)
    Path("bad.gz").write_bytes(b"bad")
    result = piped("decompress", "bad.gz", "nothing.gz", "good.gz")
    assert result.returncode == CorruptDataError.exit_code
    assert result.stderr.decode().splitlines() == [
        "ramferry: bad.gz: expected a gzip header (1f 8b 08) in member 1, which begins at byte 0, "
        "received 62 61 64",
        "ramferry: cannot read nothing.gz: No such file or directory",
    ]
    assert names() == ["bad.gz", "good", "pages"]


@pytest.mark.parametrize("arguments", [["-L", "0"], ["-L", "10"], ["--format", "lz4"], ["--what"]])
def test_bad_options_are_usage_errors(arguments: list[str]) -> None:
    assert piped("compress", *arguments, "pages").returncode == UsageError.exit_code
    assert names() == ["pages"]


def test_a_full_disk_leaves_nothing() -> None:
    """A file size limit refuses writes as a full disk does, half-way through the output."""
    noise = os.urandom(3_000_000)
    Path("noise").write_bytes(noise)
    limited = ("sh", "-c", 'ulimit -f 2000; exec "$@"', "sh")
    result = piped("compress", "noise", prefix=limited)
    assert result.returncode == HostError.exit_code
    assert result.stderr == b"ramferry: cannot write noise.gz: File too large\n"
    assert names() == ["noise", "pages"]
    assert Path("noise").read_bytes() == noise


def test_a_full_device_has_its_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        result = piped("compress", "-c", "pages", stdout=full.fileno())
    assert (result.returncode, result.stderr) == (
        HostError.exit_code,
        b"ramferry: cannot write standard output: No space left on device\n",
    )


@pytest.mark.parametrize("command", [["compress", "-c", "pages"], ["decompress", "-c", "pages.gz"]])
def test_a_closed_pipe_ends_it_quietly_by_its_signal(command: list[str]) -> None:
    Path("pages.gz").write_bytes(compress(TEXT).data)
    read, write = os.pipe()
    os.close(read)
    result = piped(*command, stdout=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (-signal.SIGPIPE, b"")
    assert names() == ["pages", "pages.gz"]


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    Path("noise").write_bytes(os.urandom(3_000_000))
    ramferry("compress", "noise")
    line = (
        f"{sys.executable} -m ramferry decompress -c noise.gz | head -c 10; echo ${{PIPESTATUS[0]}}"
    )
    result = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert (result.stdout[10:], result.stderr) == (b"141\n", b"")


def test_tar_finds_the_options_that_it_hands_over() -> None:
    Path("folder").mkdir()
    Path("folder/file").write_bytes(TEXT)
    own = f"{sys.executable} -m ramferry"
    subprocess.run(["tar", "-I", f"{own} compress -9", "-cf", "t.tar.gz", "folder"], check=True)
    for command in ("compress", "decompress"):
        Path("folder/file").unlink()
        subprocess.run(["tar", "-I", f"{own} {command}", "-xf", "t.tar.gz"], check=True)
        assert Path("folder/file").read_bytes() == TEXT
    subprocess.run(["tar", "-xzf", "t.tar.gz"], check=True)


def test_a_tapes_padding_is_no_damage() -> None:
    Path("pages.gz").write_bytes(bytes(compress(TEXT).data) + bytes(10240))
    Path("pages").unlink()
    ramferry("decompress", "pages.gz")
    assert Path("pages").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("options", "level"),
    [("-4", 4), ("-L 4", 4), ("-L 9 -4", 4), ("-4 -L 9", 9), ("--best", 9), ("-9k", 9), ("", 1)],
)
def test_digits_are_levels_and_the_last_counts(
    options: str, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = stream.compress

    def noted(reader: Any, writer: Any, level: int, **options: Any) -> Totals:
        seen.append(level)
        return original(reader, writer, level, **options)

    monkeypatch.setattr(stream, "compress", noted)
    ramferry("compress", *options.split(), "pages")
    assert seen == [level]


@pytest.mark.parametrize("options", ["-d", "-dk", "-d -q", "-dn", "-dN", "--decompress -1"])
def test_compress_decompresses_where_it_is_asked_to(options: str) -> None:
    ramferry("compress", "pages")
    ramferry("compress", *options.split(), "pages.gz")
    assert Path("pages").read_bytes() == TEXT
    ramferry("compress", "-f", "pages")
    ramferry("decompress", *options.split(), "pages.gz")
    assert Path("pages").read_bytes() == TEXT


def test_both_commands_list_and_verify(capfd: pytest.CaptureFixture[str]) -> None:
    ramferry("compress", "-k", "pages")
    size, saved = Path("pages.gz").stat().st_size, len(TEXT)
    for command in ("compress", "decompress"):
        ramferry(command, "-t", "pages.gz")
        assert capfd.readouterr() == ("", "")
        ramferry(command, "-l", "pages.gz", "pages.gz")
        out, err = capfd.readouterr()
        lines = [line.split() for line in out.splitlines()]
        ratio = f"{1 - size / saved:.1%}"
        assert lines == [
            ["compressed", "uncompressed", "ratio", "uncompressed_name"],
            [str(size), str(saved), ratio, "pages"],
            [str(size), str(saved), ratio, "pages"],
            [str(2 * size), str(2 * saved), ratio, "(totals)"],
        ]
        assert err == ""
    assert names() == ["pages", "pages.gz"]


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_the_help_says_what_has_no_checksum(command: str) -> None:
    text = " ".join(piped(command, "--help").stdout.decode().split())
    assert "raw and 4B have no checksum" in text


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (signal.SIGTERM, 143, b"ramferry: ended by SIGTERM\n"),
        (signal.SIGHUP, 129, b"ramferry: ended by SIGHUP\n"),
        (signal.SIGINT, 130, b"ramferry: interrupted\n"),
        (signal.SIGKILL, -9, b""),
    ],
)
def test_a_signal_in_mid_stream_leaves_nothing(
    number: signal.Signals, code: int, sentence: bytes
) -> None:
    """It strikes while data has been written and more is awaited."""
    command = [*RAMFERRY, "compress", "-o", "out.gz"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(os.urandom(24 << 20))
    process.stdin.flush()
    _wait_until(lambda: _bytes_written(process.pid) > 1 << 20)
    process.send_signal(number)
    _out, err = process.communicate(timeout=30)
    assert (process.returncode, err.lstrip(b"\n")) == (code, sentence)
    assert names() == ["pages"]


def _bytes_written(pid: int) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"])


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited for 30 seconds in vain"
        time.sleep(0.005)


def on_a_terminal(*arguments: str, stdout: bool) -> tuple[int, bytes]:
    """Run a command whose input and errors, and output if asked for, are a terminal."""
    ours, theirs = pty.openpty()
    out = theirs if stdout else subprocess.DEVNULL
    process = subprocess.Popen([*RAMFERRY, *arguments], stdin=theirs, stdout=out, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the terminal's other end was closed
            break
    os.close(ours)
    return process.wait(30), seen


def test_compressed_data_stays_off_terminals() -> None:
    sentence = b"ramferry: compressed data is not written to a terminal: redirect it, or -f\r\n"
    assert on_a_terminal("compress", "-c", "pages", stdout=True) == (2, sentence)
    assert on_a_terminal("compress", stdout=True) == (2, sentence)
    sentence = b"ramferry: compressed data is not read from a terminal: name a file, or -f\r\n"
    assert on_a_terminal("decompress", stdout=False) == (2, sentence)


def test_a_terminal_can_be_forced_and_decompressed_to() -> None:
    Path("line").write_bytes(b"a line of text\n")
    code, seen = on_a_terminal("compress", "-c", "-f", "line", stdout=True)
    assert code == 0
    assert b"\x1f\x8b\x08\x04" in seen
    ramferry("compress", "line")
    code, seen = on_a_terminal("decompress", "-c", "line.gz", stdout=True)
    assert code == 0
    assert b"a line of text\r\n" in seen


def test_progress_is_drawn_on_a_terminal_only() -> None:
    code, seen = on_a_terminal("compress", "-k", "pages", stdout=False)
    assert code == 0
    assert b"pages" in seen
    assert f"{len(TEXT) / 1e3:.1f}/{len(TEXT) / 1e3:.1f} kB".encode() in seen
    assert b"\x1b" not in piped("compress", "-k", "-f", "pages").stderr
