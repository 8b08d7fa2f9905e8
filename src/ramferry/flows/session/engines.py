"""Who inflates and compresses for one migration, in all of its channels, and what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ramferry.codec import Accelerated, Decoder, Encoder, name_backends


class Engines:
    """The codecs of one migration's channels."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._decoders: list[Decoder] = []
        self._encoders: list[Encoder] = []
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def add(self, decoder: Decoder, encoder: Encoder | None) -> None:
        """Take in a channel's codecs; whether a device works, and why, is told once."""
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

    def tell_troubles(self) -> None:
        """At the end: why the CPU did what a device was to do, each cause once."""
        codecs = _accelerated((*self._decoders, *self._encoders))
        for trouble in dict.fromkeys(codec.trouble for codec in codecs if codec.trouble):
            self._note(f"the CPU took over from the device: {trouble}")


def _accelerated(codecs: Iterable[object]) -> list[Accelerated]:
    return [codec for codec in codecs if isinstance(codec, Accelerated)]
