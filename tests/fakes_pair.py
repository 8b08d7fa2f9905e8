"""Two relays that know each other, with a proxy between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from fakes_relay import RelayThread, Stage
from peer_meddler import Meddler
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import RelayAddress, UnixAddress

_Meddler = TypeVar("_Meddler", bound=Meddler)


@dataclass(frozen=True, slots=True)
class Pair(Generic[_Meddler]):
    """The source's relay, which the stage knows, the destination's, and what is between them."""

    stage: Stage
    near: RelayThread
    far: RelayThread
    meddler: _Meddler


@contextlib.contextmanager
def pair(
    folder: Path, method: str, *, auto_level: bool = False, **far_settings: object
) -> Iterator[Pair[Meddler]]:
    """Two relays, and what passes their bytes on as they are until it is told otherwise.

    :param auto_level: whether the source's relay moves the method's level.
    """
    made = pair_with(Meddler, folder, method, auto_level=auto_level, **far_settings)
    with made as both:
        yield both


@contextlib.contextmanager
def pair_with(
    kind: type[_Meddler],
    folder: Path,
    method: str,
    *,
    auto_level: bool = False,
    **far_settings: object,
) -> Iterator[Pair[_Meddler]]:
    """The same with another proxy."""
    stage = Stage(folder, method="none", **far_settings)
    listens = replace(stage.settings, listen=RelayAddress(UnixAddress(str(folder / "far"))))
    between = UnixAddress(str(folder / "between"))
    near_settings = RelaySettings(
        UnixAddress(str(folder / "near")),
        RelayAddress(between),
        method,
        stall_timeout=stage.settings.stall_timeout,
        auto_level=auto_level,
    )
    with (
        # each proves that no descriptor is left but those that were open before it
        RelayThread(near_settings) as near,
        RelayThread(listens) as far,
        kind(between, UnixAddress(str(folder / "far"))) as meddler,
    ):
        yield Pair(stage, near, far, meddler)
