"""The one table of QEMU's multifd methods: names, wire flags, levels, and who does the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from ramferry.codec.base import Accelerated, Decoder, Encoder
from ramferry.codec.none import NoneDecoder, NoneEncoder
from ramferry.codec.qatzip import QatzipDecoder, QatzipEncoder
from ramferry.codec.qpl import QplDecoder, QplEncoder
from ramferry.codec.uadk import UadkDecoder, UadkEncoder
from ramferry.codec.zlib import ZlibDecoder, ZlibEncoder
from ramferry.codec.zstd import ZstdDecoder, ZstdEncoder
from ramferry.errors import UsageError
from ramferry.qatzip.hardware import describe
from ramferry.vocabulary import (
    AUTO,
    DEFAULT_LEVEL,
    MEMBER_SIZES,
    METHOD_FLAGS,
    METHOD_LEVELS,
    ONE_MEMBER,
    PACKET_BYTES,
    PAGE_SIZE,
    PAGE_SIZES,
    REQUIRE,
)

MIN_PAGE_SIZE: Final = min(PAGE_SIZES)
"""Smallest page of any QEMU target."""

MakeEncoder = Callable[[int, int, str, str], Encoder]
"""Called with a checked level, the page size, the accelerator and the member size."""
MakeDecoder = Callable[[int, str], Decoder]
"""Called with the page size and the accelerator."""


@dataclass(frozen=True, slots=True)
class Method:
    """One value of QEMU's ``multifd-compression``."""

    name: str
    flag: int
    """The method's bit in a multifd header's flags; 0 for ``none``."""
    levels: range | None
    """QEMU's range of ``multifd-<name>-level``; None if the method has no levels."""
    default_level: int
    """Used if no level is asked for; 0 if the method has no levels."""
    encoder: MakeEncoder
    decoder: MakeDecoder

    def level(self, level: int | None) -> int:
        """Check a level that was asked for, or give the default one.

        :raise UsageError: ``level`` is outside the method's range, or the method has no levels.
        """
        if level is None:
            return self.default_level
        if self.levels is None:
            raise UsageError(f"method {self.name} has no levels, level {level} was asked for")
        if level not in self.levels:
            raise UsageError(
                f"method {self.name} has levels {self.levels[0]} to {self.levels[-1]}, "
                f"level {level} was asked for"
            )
        return level


_CODECS: Final[Mapping[str, tuple[MakeEncoder, MakeDecoder]]] = {
    "none": (lambda *_: NoneEncoder(), lambda page, _: NoneDecoder(page)),
    "zlib": (lambda level, *_: ZlibEncoder(level), lambda *_: ZlibDecoder()),
    "zstd": (lambda level, *_: ZstdEncoder(level), lambda *_: ZstdDecoder()),
    "qpl": (lambda _, page, *__: QplEncoder(page), lambda page, _: QplDecoder(page)),
    "uadk": (lambda _, page, *__: UadkEncoder(page), lambda page, _: UadkDecoder(page)),
    "qatzip": (
        lambda level, _, accelerator, members: QatzipEncoder(level, accelerator, members),
        lambda _, accelerator: QatzipDecoder(accelerator),
    ),
}

_METHODS: Final = {
    name: Method(
        name,
        flag,
        METHOD_LEVELS.get(name),
        DEFAULT_LEVEL if name in METHOD_LEVELS else 0,
        *_CODECS[name],
    )
    for name, flag in METHOD_FLAGS.items()
}
METHODS: Final[Mapping[str, Method]] = MappingProxyType(_METHODS)
"""Every method that QEMU 7.2 to 11.1 knows, by name, in the order of the wire flags."""


def replace_codecs(method: str, encoder: MakeEncoder, decoder: MakeDecoder) -> None:
    """Have other codecs stand for a method in this process, from the next channel on.

    For a process that measures what is around the codecs (``bench.ceiling``); it carries no guest.
    """
    _METHODS[method] = replace(find_method(method), encoder=encoder, decoder=decoder)


def create_encoder(
    method: str,
    level: int | None,
    *,
    page_size: int = PAGE_SIZE,
    accelerator: str = AUTO,
    member_size: str = AUTO,
) -> Encoder:
    """Make the encoder of one channel.

    :param method: a key of ``METHODS``.
    :param level: the method's level; None for its default.
    :param page_size: the target's page size in bytes.
    :param accelerator: one of ``vocabulary.ACCELERATORS``, for the methods with a device.
    :param member_size: one of ``vocabulary.MEMBER_SIZES``, for ``qatzip``; ``auto`` is 64K here.
    :raise UsageError: unknown method, a level it does not have, an impossible page size, or what
        ``check_members`` refuses.
    :raise MethodUnavailable: a device is required and cannot be had.
    """
    found = find_method(method)
    level = found.level(level)
    check_members(method, member_size, accelerator)
    return found.encoder(level, _checked(page_size), accelerator, member_size)


def check_members(method: str, member_size: str, accelerator: str) -> None:
    """Check a member size that was asked for.

    :raise UsageError: there is no such size, the method has no members, or a device that is
        required does not have it.
    """
    if member_size not in MEMBER_SIZES:
        raise UsageError(
            f"member size must be one of {', '.join(MEMBER_SIZES)}, not {member_size!r}"
        )
    if method != "qatzip" and member_size != AUTO:
        raise UsageError(f"method {method} has no members, member size {member_size} was asked for")
    if member_size == ONE_MEMBER and accelerator == REQUIRE:
        raise UsageError(
            f"a QAT device has members of 64 KiB only: take either member size {ONE_MEMBER} or"
            f" accelerator {REQUIRE}"
        )


def check_choice(
    method: str, level: int | None, *, auto_level: bool, member_size: str, accelerator: str
) -> None:
    """Check what was asked for beside a method or a level that is to be chosen; anything goes where
    neither is.

    :param level: as it was asked for; None if it was not, or if it is to be chosen.
    :raise UsageError: the method has no levels to choose from, the choice makes what was asked for
        as well, or a device is required.
    """
    if method == AUTO:
        if auto_level or level is not None:
            raise UsageError("--method auto chooses the level as well: leave out --level")
        if member_size != AUTO:
            raise UsageError("--method auto agrees on the members' size: leave out --member-size")
    elif not auto_level:
        return
    elif find_method(method).levels is None:
        names = ", ".join(name for name, one in METHODS.items() if one.levels is not None)
        raise UsageError(
            f"--level auto is for a method with levels ({names}), and {method} has none: leave out"
            " --level"
        )
    if accelerator == REQUIRE:
        raise UsageError(
            f"{'--method' if method == AUTO else '--level'} auto takes a device where one pays, so"
            " that it cannot be required: take either --method qatzip with a number as its level,"
            " or --accelerator auto"
        )


def more_with_relay(method: str) -> str:
    """The sentence for whoever has the level chosen where no relay stands at the destination."""
    return (
        f"--level auto moves the level of {method}: with a relay at the destination (relay:),"
        " --method auto could choose the method as well"
    )


def create_decoder(method: str, *, page_size: int = PAGE_SIZE, accelerator: str = AUTO) -> Decoder:
    """Make the decoder of one channel.

    :param method: a key of ``METHODS``.
    :param page_size: the target's page size in bytes.
    :param accelerator: as for the encoder.
    :raise UsageError: unknown method or an impossible page size.
    :raise MethodUnavailable: a device is required and cannot be had.
    """
    return find_method(method).decoder(_checked(page_size), accelerator)


def name_backends(codecs: Iterable[Encoder | Decoder]) -> str:
    """Name the engines that worked in the encoders, or in the decoders, of one migration.

    If a device and the CPU shared the work, each has its share of the bytes: "qat 93 % / isa-l 7
    %".
    """
    names: dict[str, None] = {}
    shares: Counter[str] = Counter()
    for codec in codecs:
        mixed = codec.shares if isinstance(codec, Accelerated) else {}
        shares.update(mixed)
        if not mixed:
            names[codec.backend] = None
    return describe(shares) or " + ".join(names)


def member_size_of(encoders: Iterable[Encoder]) -> int | None:
    """Most bytes of pages in a ``qatzip`` member that the encoders of one migration write.

    A packet is one member if it is ``PACKET_BYTES``. None if they are of another method.
    """
    sizes = (one.member_size for one in encoders if isinstance(one, QatzipEncoder))
    return next(sizes, None)


def find_method(name: str) -> Method:
    """Look a method up.

    :raise UsageError: there is no such method.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise UsageError(f"method {name!r} is not one of {', '.join(METHODS)}") from None


def _checked(page_size: int) -> int:
    if not MIN_PAGE_SIZE <= page_size <= PACKET_BYTES or PACKET_BYTES % page_size:
        raise UsageError(
            f"a page has {MIN_PAGE_SIZE} to {PACKET_BYTES} bytes, a power of two, not {page_size}"
        )
    return page_size
