"""The far half: answers the near half's questions until that, or the way to it, has gone."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from ramferry import __version__
from ramferry.control.far.cable import Cable, ends_of
from ramferry.control.far.children import Children
from ramferry.control.far.monitors import Monitors, cpu_seconds, locate
from ramferry.control.far.outgoing import Outgoing
from ramferry.control.far.ports import Meeting
from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.domain_process import find
from ramferry.control.hosts.folders import Folder
from ramferry.control.hosts.process import Process
from ramferry.control.hosts.socket_place import remove_socket
from ramferry.errors import RamferryError, UsageError
from ramferry.patience import Patience
from ramferry.qatzip.accelerator import may_accelerate

_LOOK: Final = 0.5
_PIECE: Final = 65536


class House:
    """What one far half has open on its host."""

    def __init__(self, out: Outgoing) -> None:
        """:param out: where answers go."""
        self._out = out
        self._children, self._monitors = Children(out), Monitors(out)
        self._folders: dict[str, Folder] = {}
        self._meetings: dict[str, Meeting] = {}
        self._forsaken: list[Path] = []
        self._does: Mapping[type, Callable[[Any], Any]] = {
            far.OpenMonitor: self._monitors.open,
            far.Locate: locate,
            far.LocateDomain: lambda wish: find(wish.name, wish.uuid),
            far.Forsake: lambda wish: self._forsaken.append(Path(wish.path)),
            far.Cpu: cpu_seconds,
            far.MakeFolder: self._make_folder,
            far.RequireFolder: lambda wish: self._folder(wish.path).require(writes=wish.writes),
            far.HandOverFolder: lambda wish: self._folder(wish.path).hand_over(),
            far.RemoveFolder: self._remove_folder,
            far.Accelerates: lambda wish: may_accelerate(wish.policy),
            far.Meet: self._meet,
            far.Met: self._met,
            far.Start: self._children.start,
            far.End: self._children.signal,
        }

    def take(self, message: far.FromNear) -> None:
        """Do what a message asks for. Questions are answered by threads of their own, because a
        monitor may take seconds to accept."""
        if isinstance(message, far.Ask):
            threading.Thread(target=self._answer, args=(message,), daemon=True).start()
        elif isinstance(message, far.Piece | far.Over):
            self._monitors.take(message)

    def close(self) -> None:
        """End and remove everything."""
        with ExitStack() as stack:
            for folder in list(self._folders.values()):  # answers may be under way
                stack.enter_context(folder)
            for token in list(self._meetings):
                if (meeting := self._meetings.pop(token, None)) is not None:
                    stack.callback(meeting.close)
            for path in self._forsaken:
                stack.callback(remove_socket, path)
            stack.callback(self._children.end)
            stack.callback(self._monitors.end)

    def _answer(self, ask: far.Ask) -> None:
        number = ask.number
        try:
            value = self._does[type(ask.question)](ask.question)
        except RamferryError as error:
            self._out.say(far.Refusal(number, str(error), error.exit_code))
        except OSError as error:
            text = error.strerror or str(error)
            self._out.say(far.Refusal(number, text, RamferryError.exit_code, error.errno or 0))
        else:
            self._out.say(far.Answer(number, value))

    def _make_folder(self, wish: far.MakeFolder) -> str:
        folder = Folder(wish.uri, None if wish.pid is None else Process(wish.pid))
        self._folders[str(folder.path)] = folder
        return str(folder.path)

    def _folder(self, path: str) -> Folder:
        """:raise UsageError: none of that path was made here."""
        if path not in self._folders:
            raise UsageError(f"there is no folder {path} of this `ramferry far`")
        return self._folders[path]

    def _remove_folder(self, wish: far.RemoveFolder) -> None:
        with self._folder(wish.path):
            del self._folders[wish.path]

    def _meet(self, wish: far.Meet) -> tuple[str, int]:
        self._meetings[wish.token] = meeting = Meeting(wish)
        return meeting.where

    def _met(self, wish: far.Met) -> bool:
        # whoever has taken it out closes it
        meeting = self._meetings.pop(wish.token, None)
        if meeting is None:
            raise UsageError("nobody is met under that token")
        try:
            return meeting.met()
        finally:
            meeting.close()


def serve(from_near: int, to_near: int, environment: Mapping[str, str]) -> None:
    """Be a far half until the near half ends, or nothing has come from it for too long.

    :param from_near: the descriptor of the pipe that ssh writes to.
    :param to_near: of the pipe that ssh reads from.
    :param environment: of this process; ``SSH_CONNECTION`` says where ssh came from.
    """
    ends = ends_of(environment)
    out = Outgoing(to_near)
    out.say(
        far.Hello(
            far.PROTOCOL, __version__, *((ends[0], ends[2]) if ends is not None else ("", ""))
        )
    )
    house = House(out)
    try:
        _listen(from_near, out, house, Cable(ends))
    finally:
        house.close()
        out.close()


def _listen(fd: int, out: Outgoing, house: House, cable: Cable) -> None:
    tick, silence = Patience(far.TICK_SECONDS), Patience(far.SILENCE_SECONDS)
    rest = b""
    while not out.broken and not cable.cut() and not silence.over:
        if tick.over:
            out.say(far.Alive())
            tick.restart()
        if not select.select([fd], [], [], _LOOK)[0]:
            continue
        data = os.read(fd, _PIECE)
        silence.restart()
        *lines, rest = (rest + data).split(b"\n")
        if not data or len(rest) > far.MOST_BYTES:
            return
        for line in lines:
            try:
                message = far.from_near.decode(line)
            except (ValueError, RecursionError):
                return  # no near half says such things
            house.take(message)
