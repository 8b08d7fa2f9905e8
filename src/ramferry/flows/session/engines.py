"""The codecs of one migration's channels, and the notes about what they run on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ramferry.codec import Accelerated, Decoder, Encoder, member_size_of, name_backends
from ramferry.metrics.notes import warning


class Engines:
    """The codecs of one migration's channels."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._decoders: list[Decoder] = []
        self._encoders: list[Encoder] = []
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def add(self, decoder: Decoder, encoder: Encoder | None) -> None:
        """Add a channel's codecs. Whether a device does the work, and why not, is noted once."""
        with self._lock:
            self._decoders.append(decoder)
            if encoder is not None:
                self._encoders.append(encoder)
            reasons = dict.fromkeys(codec.why for codec in _accelerated((decoder, encoder)))
            fresh = [why for why in reasons if why not in self._told]
            self._told.update(fresh)
        for why in fresh:
            self._note(why)

    @property
    def backend(self) -> str:
        """What inflates and compresses, as in ``RelayResult.backend``."""
        with self._lock:
            used = [name_backends(self._decoders), name_backends(self._encoders)]
        working = dict.fromkeys(one for one in used if one not in ("", "none"))
        return " → ".join(working) or ("none" if self._decoders else "")

    @property
    def member_size(self) -> int | None:
        """As in ``RelayResult.member_size``."""
        with self._lock:
            return member_size_of(self._encoders)

    def release(self) -> None:
        """Called at the very end: the codecs, with their memory, are not kept any longer."""
        with self._lock:
            self._decoders.clear()
            self._encoders.clear()

    def tell_troubles(self) -> None:
        """Called at the end: note each reason, once, why the CPU did work that was meant for a
        device."""
        with self._lock:
            codecs = _accelerated((*self._decoders, *self._encoders))
        for trouble in dict.fromkeys(codec.trouble for codec in codecs if codec.trouble):
            self._note(warning(f"the CPU took over from the device: {trouble}"))


def _accelerated(codecs: Iterable[object]) -> list[Accelerated]:
    return [codec for codec in codecs if isinstance(codec, Accelerated)]
