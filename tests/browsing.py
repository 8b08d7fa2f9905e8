"""A headless Chromium that opens a page and answers questions about it.

It is spoken to in its DevTools protocol over two pipes: JSON messages that end in a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any, Self

SECONDS = 60.0
"""Until an answer is given up; a busy machine starts a browser in a few."""


class Browser:
    """A context manager; one page at a time, with nothing of the one before."""

    def __init__(self, chromium: Path, home: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        flags = "--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run"
        line = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{to_read} 4>&{to_write}'
        with (home / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", line, chromium, home / "profile"],
                pass_fds=(to_read, to_write),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(home)},
            )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._number = 0
        self._target = ""
        self._session = ""
        self.events: list[dict[str, Any]] = []
        """All that it told without being asked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._ask("Browser.close", session="")
        except (OSError, EOFError):
            self._process.kill()
        self._process.wait(SECONDS)
        os.close(self._write)
        os.close(self._read)

    def open(self, page: Path, *, width: int, scheme: str) -> None:
        """Open a file in a window of that width, light or dark, and wait until it has drawn."""
        before, self._target = self._target, self._new_target()
        if before:
            self._ask("Target.closeTarget", session="", targetId=before)
        self._session = self._ask(
            "Target.attachToTarget", session="", targetId=self._target, flatten=True
        )["sessionId"]
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        self.prefer(scheme)
        self._ask("Page.navigate", url=page.as_uri())
        self.wait("document.documentElement?.dataset.drawn !== undefined")

    def prefer(self, scheme: str) -> None:
        """Let the system's colours be light or dark from here on."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until it is true."""
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"{expression} did not become true: {self.faults()}"
            time.sleep(0.02)

    def picture(self, file: Path) -> None:
        """The whole page as PNG."""
        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def faults(self) -> list[dict[str, Any]]:
        """Exceptions, errors on the console, and what the page's policy refused."""
        return [event for event in self.events if _is_fault(event)]

    def requests(self) -> list[str]:
        """The addresses that the page asked for."""
        sent = (one for one in self.events if one["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def _new_target(self) -> str:
        target: str = self._ask("Target.createTarget", session="", url="about:blank")["targetId"]
        return target

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        session = self._session if session is None else session
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._read], [], [], SECONDS)[0], "chromium does not answer"
            part = os.read(self._read, 1 << 20)
            if not part:
                raise EOFError("chromium has ended")
            self._rest += part
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        return message


def _is_fault(event: dict[str, Any]) -> bool:
    match event["method"]:
        case "Runtime.exceptionThrown":
            return True
        case "Runtime.consoleAPICalled":
            return event["params"]["type"] in ("error", "warning", "assert")
        case "Log.entryAdded":
            return event["params"]["entry"]["level"] in ("error", "warning")
    return False
