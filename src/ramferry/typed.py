"""JSON and plain values as objects of a type, by msgspec; the one place that asks msgspec for that.

msgspec looks at a class when it is first asked for one, and keeps what it found with the class from
the moment it begins, while the class' annotations are still being read by Python's code. A second
thread that comes meanwhile takes the half, and the process dies of SIGSEGV (msgspec 0.22; two
relays that tell their first progress at one time ended ``migrate`` so). So every type goes through
one lock before it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, overload

import msgspec

from ramferry.vocabulary import Buffer

_T = TypeVar("_T")
_looking = threading.Lock()


@overload
def decoder(kind: type[_T]) -> msgspec.json.Decoder[_T]: ...
@overload
def decoder(kind: Any) -> msgspec.json.Decoder[Any]: ...
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """What decodes JSON as objects of ``kind``: a class, or a union of them; for any thread."""
    return _decoder(kind)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    with _looking:
        return msgspec.json.Decoder(kind)


@overload
def decode(text: Buffer | str, kind: type[_T]) -> _T: ...
@overload
def decode(text: Buffer | str, kind: Any = Any) -> Any: ...
def decode(text: Buffer | str, kind: Any = Any) -> Any:
    """Read JSON as an object of ``kind``.

    :raise ValueError: it is none.
    :raise RecursionError: it nests too deep.
    """
    return _decoder(kind).decode(text)


@overload
def convert(value: Any, kind: type[_T], by: Callable[[type, Any], Any] | None = None) -> _T: ...
@overload
def convert(value: Any, kind: Any, by: Callable[[type, Any], Any] | None = None) -> Any: ...
def convert(value: Any, kind: Any, by: Callable[[type, Any], Any] | None = None) -> Any:
    """Make an object of ``kind`` of what JSON has: dicts, lists, texts and numbers.

    :param by: makes objects of types that msgspec does not know.
    :raise msgspec.ValidationError: it is none; names the place.
    """
    _decoder(kind)
    return msgspec.convert(value, kind, dec_hook=by)
