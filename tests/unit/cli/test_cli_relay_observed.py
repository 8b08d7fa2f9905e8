"""``ramferry relay`` as those see it who watch over it: metrics, a log as JSON, the journal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from fakes_relay import Stage, until
from fakes_source import SETTLE, FakeSource, dial
from fakes_wire import Guest, Script
from ramferry.errors import HostError
from relay_process import START

UUID = "11111111-2222-3333-4444-555555555555"


def accepts(stage: Stage) -> bool:
    try:
        dial(stage.settings.listen).close()
    except OSError:
        return False
    return True


def scraped(path: Path) -> dict[str, float]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(SETTLE)
        sock.connect(str(path))
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with sock.makefile("r", encoding="utf-8", newline="\n") as answer:
            lines = answer.read().partition("\r\n\r\n")[2].splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


@contextmanager
def relay(stage: Stage, *options: str, **child: Any) -> Iterator[subprocess.Popen[str]]:
    addresses = (str(stage.settings.listen), str(stage.settings.connect))
    command = [sys.executable, "-m", "ramferry", "relay", *addresses, "--method", "zlib", *options]
    child = {"stderr": subprocess.PIPE, **child}
    process: subprocess.Popen[str] = subprocess.Popen(command, text=True, **child)
    try:
        until(lambda: accepts(stage) or process.poll() is not None, START)
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def carry(stage: Stage, script: Script) -> None:
    with stage.destination(script.guest) as destination:
        source = FakeSource(stage.settings.listen, script)
        try:
            until(lambda: source.ended.is_set() and destination.complete, SETTLE)
            assert source.status == "completed"
        finally:
            source.close()


def ended(process: subprocess.Popen[str]) -> list[str]:
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=SETTLE)
    assert process.returncode == 0
    return said.splitlines()


def test_a_relay_tells_what_it_carried(tmp_path: Path) -> None:
    stage, path = Stage(tmp_path), tmp_path / "metrics"
    script = Script(Guest(method="zstd"))
    completed = 'ramferry_migrations_total{outcome="completed"}'
    options = ("--log-format", "json", "--metrics", f"unix:{path}")
    with relay(stage, *options) as process:
        assert scraped(path)[completed] == 0
        for count in (1, 2):
            carry(stage, script)
            until(lambda: scraped(path)[completed] == count, SETTLE)  # noqa: B023 - called here
        seen = scraped(path)
        lines = [json.loads(line) for line in ended(process)]
    assert not path.exists()
    results = [line for line in lines if "outcome" in line]
    for direction, method, field in (("in", "zstd", "bytes_in"), ("out", "zlib", "bytes_out")):
        wire = f'ramferry_migration_wire_bytes_total{{direction="{direction}",method="{method}"}}'
        assert seen[wire] == sum(one[field] for one in results) > 0
    assert seen["ramferry_migration_page_bytes_total"] == sum(one["page_bytes"] for one in results)
    assert seen["ramferry_migration_downtime_seconds_count"] == 2
    assert seen['ramferry_migration_sync_wait_seconds_total{waiting="main"}'] > 0
    assert [line["message"] for line in lines[:2]] == [
        f"metrics at unix:{path}",
        f"listening on {stage.settings.listen}",
    ]
    assert [one["outcome"] for one in results] == ["completed"] * 2
    assert len({one["migration"] for one in results}) == 2
    assert all(one["level"] == "info" and one["state"] == "ending" for one in results)
    assert all(one["message"].startswith("carried ") for one in results)
    assert not [line for line in lines if set(line) < {"time", "level", "message"}]


def test_an_event_before_the_source_s_connections_end(tmp_path: Path) -> None:
    stage = Stage(tmp_path)  # where nobody is the destination
    options = ("--events", "--once", "--hold-source", "60")
    with relay(stage, *options, stdout=subprocess.PIPE) as process:
        source = FakeSource(stage.settings.listen, Script(Guest()))
        assert process.stdout is not None
        with closing(source), process.stdout as lines:
            failing = next(line for line in lines if "failing" in line)
            told = json.loads(failing)
            error = f"nobody accepts at unix:{tmp_path}/destination: No such file or directory"
            words = {"event": "failing", "migration": told["migration"], "error": error}
            assert failing == json.dumps(words) + "\n"
            assert source.left() == set(source.socks)
            source.end()
            (finished,) = [one for one in map(json.loads, lines) if one["event"] == "finished"]
    assert (finished["migration"], finished["error"]) == (told["migration"], error)
    assert finished["exit_code"] == 3


def test_a_failed_migration_is_an_error_of_its_id(tmp_path: Path) -> None:
    stage = Stage(tmp_path)  # where nobody is the destination
    with relay(stage, "--log-format", "json", "--once") as process:
        source = FakeSource(stage.settings.listen, Script(Guest()))
        try:
            _, said = process.communicate(timeout=SETTLE)
        finally:
            source.close()
    (line,) = [one for one in map(json.loads, said.splitlines()) if one["level"] == "error"]
    assert (line["outcome"], line["exit_code"], process.returncode) == ("failed", 3, 3)
    assert line["message"].startswith("failed: ")
    assert len(line["migration"]) == 8


def test_a_refused_connection_is_a_warning(tmp_path: Path) -> None:
    stage, path = Stage(tmp_path), tmp_path / "metrics"
    with relay(stage, "--log-format", "json", "--metrics", f"unix:{path}") as process:
        with dial(stage.settings.listen) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            sock.settimeout(SETTLE)
            with suppress(ConnectionError):
                assert sock.recv(1) == b""
        assert scraped(path)["ramferry_connections_refused_total"] == 1
        lines = [json.loads(line) for line in ended(process)]
    (line,) = [one for one in lines if one["level"] == "warning"]
    assert line["message"].startswith("refused a connection of ")
    assert "migration" not in line


def test_what_keeps_a_relay_from_beginning_is_said_as_json(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    (tmp_path / "relay").write_text("no socket")
    with relay(stage, "--log-format", "json") as process:
        _, said = process.communicate(timeout=SETTLE)
    (line,) = map(json.loads, said.splitlines())
    assert line["message"].startswith("cannot listen on ")
    assert (line["level"], line["exit_code"]) == ("error", HostError.exit_code)
    assert process.returncode == HostError.exit_code


def test_without_the_library_it_says_which_extra(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    code = "import sys; sys.modules['prometheus_client'] = None; "
    code += "from ramferry.__main__ import main; main()"
    addresses = (str(stage.settings.listen), str(stage.settings.connect))
    command = [sys.executable, "-c", code, "relay", *addresses, "--method", "none"]
    done = subprocess.run(
        [*command, "--metrics", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=START,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        HostError.exit_code,
        "ramferry: this needs prometheus_client, which is not installed: pip install"
        " 'ramferry[metrics]'\n",
    )


def test_under_the_journal_what_it_does_not_take_is_on_standard_error(tmp_path: Path) -> None:
    """There is none here: where its socket does not answer, its stream gets every sentence."""
    stage, out = Stage(tmp_path), tmp_path / "stream"
    with open(out, "w") as stream:
        found = os.fstat(stream.fileno())
        environ = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        with relay(stage, stderr=stream, env=environ) as process:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SETTLE) == 0
    said = out.read_text()
    assert os.path.exists("/run/systemd/journal/socket") or said == (
        f"ramferry relay: listening on {stage.settings.listen}\n"
    )
