"""``libvirt.so.0`` by ctypes: the functions that are called, their types and constants.

Their source is libvirt's documented and stable API (``libvirt/libvirt-domain.h``). Every call
releases the GIL while it lasts. libvirt-python is the same API by a compiled module, which pip can
only build with libvirt's headers; it would add nothing to these calls, so it is not looked for.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p
from typing import Any, Final

from ramferry.errors import HostError

NAME: Final = "libvirt.so.0"
QEMU_NAME: Final = "libvirt-qemu.so.0"

LIVE: Final = 1 << 0
PEER_TO_PEER: Final = 1 << 1
PERSIST_DEST: Final = 1 << 3
UNDEFINE_SOURCE: Final = 1 << 4
NON_SHARED_DISK: Final = 1 << 6
NON_SHARED_INC: Final = 1 << 7
UNSAFE: Final = 1 << 9
AUTO_CONVERGE: Final = 1 << 13
PARALLEL: Final = 1 << 17

COMPLETED: Final = 1 << 0
"""Flag of ``virDomainGetJobStats``."""
DIRTY_RATE: Final = 1 << 9
"""Of ``virDomainListGetStats``: ``VIR_DOMAIN_STATS_DIRTYRATE``."""

NO_DOMAIN: Final = 42
"""``VIR_ERR_NO_DOMAIN``."""

_INTEGERS: Final = {1: "i", 2: "ui", 3: "l", 4: "ul"}
"""The members of ``TypedParameter.value`` for types that are whole numbers."""


class _Value(ctypes.Union):
    _fields_ = (
        ("i", c_int),
        ("ui", c_uint),
        ("l", ctypes.c_longlong),
        ("ul", c_ulonglong),
        ("d", ctypes.c_double),
        ("b", ctypes.c_char),
        ("s", c_char_p),
    )


class TypedParameter(ctypes.Structure):
    """``virTypedParameter``: a name of at most 79 bytes, a type, and a value of it."""

    _fields_ = (("field", ctypes.c_char * 80), ("type", c_int), ("value", _Value))


class StatsRecord(ctypes.Structure):
    """``virDomainStatsRecord``."""

    _fields_ = (
        ("dom", c_void_p),
        ("params", POINTER(TypedParameter)),
        ("nparams", c_int),
    )


ErrorFunction = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
Parameters = POINTER(TypedParameter)

_PROTOTYPES: Final[dict[str, tuple[Any, ...]]] = {
    "virInitialize": (c_int,),
    "virEventRegisterDefaultImpl": (c_int,),
    "virEventRunDefaultImpl": (c_int,),
    "virSetErrorFunc": (None, c_void_p, ErrorFunction),
    "virGetLastErrorMessage": (c_char_p,),
    "virGetLastErrorCode": (c_int,),
    "virResetLastError": (None,),
    "virConnectOpen": (c_void_p, c_char_p),
    "virConnectRef": (c_int, c_void_p),
    "virConnectClose": (c_int, c_void_p),
    "virConnectIsAlive": (c_int, c_void_p),
    "virConnectSetKeepAlive": (c_int, c_void_p, c_int, c_uint),
    "virConnectListAllDomains": (c_int, c_void_p, POINTER(POINTER(c_void_p)), c_uint),
    "virDomainLookupByName": (c_void_p, c_void_p, c_char_p),
    "virDomainFree": (c_int, c_void_p),
    "virDomainGetName": (c_char_p, c_void_p),
    "virDomainGetState": (c_int, c_void_p, POINTER(c_int), POINTER(c_int), c_uint),
    "virDomainGetXMLDesc": (c_void_p, c_void_p, c_uint),
    "virDomainMigrate3": (c_void_p, c_void_p, c_void_p, Parameters, c_uint, c_uint),
    "virDomainMigrateToURI3": (c_int, c_void_p, c_char_p, Parameters, c_uint, c_uint),
    "virDomainMigrateSetMaxDowntime": (c_int, c_void_p, c_ulonglong, c_uint),
    "virDomainSuspend": (c_int, c_void_p),
    "virDomainGetJobStats": (
        c_int,
        c_void_p,
        POINTER(c_int),
        POINTER(Parameters),
        POINTER(c_int),
        c_uint,
    ),
    "virDomainAbortJob": (c_int, c_void_p),
    "virTypedParamsAddString": (
        c_int,
        POINTER(Parameters),
        POINTER(c_int),
        POINTER(c_int),
        c_char_p,
        c_char_p,
    ),
    "virTypedParamsAddInt": (
        c_int,
        POINTER(Parameters),
        POINTER(c_int),
        POINTER(c_int),
        c_char_p,
        c_int,
    ),
    "virTypedParamsFree": (None, Parameters, c_int),
}

_NEWER: Final[dict[str, tuple[Any, ...]]] = {
    "virDomainStartDirtyRateCalc": (c_int, c_void_p, c_int, c_uint),
    "virDomainListGetStats": (
        c_int,
        POINTER(c_void_p),
        c_uint,
        POINTER(POINTER(POINTER(StatsRecord))),
        c_uint,
    ),
    "virDomainStatsRecordListFree": (None, POINTER(POINTER(StatsRecord))),
}
"""What an older libvirt may lack; it is missed only where it is called."""

_libc: Final = ctypes.CDLL(None)
_libc.free.argtypes = (c_void_p,)
_libc.free.restype = None


def load(name: str = NAME) -> ctypes.CDLL:
    """The library, with the types of its functions set.

    :raise HostError: this host has none, or one without these functions.
    """
    try:
        library = ctypes.CDLL(name)
        for function, (result, *arguments) in _PROTOTYPES.items():
            _typed(library, function, result, arguments)
    except (OSError, AttributeError) as error:
        raise HostError(f"{name} cannot be used: {error}") from error
    for function, (result, *arguments) in _NEWER.items():
        if hasattr(library, function):
            _typed(library, function, result, arguments)
    return library


def load_monitor(name: str = QEMU_NAME) -> Any:
    """``virDomainQemuMonitorCommand``.

    :raise HostError: this host has no ``libvirt-qemu.so.0``.
    """
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise HostError(f"{name} cannot be used: {error}") from error
    arguments = [c_void_p, c_char_p, POINTER(c_void_p), c_uint]
    return _typed(library, "virDomainQemuMonitorCommand", c_int, arguments)


def _typed(library: ctypes.CDLL, name: str, result: Any, arguments: list[Any]) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


def text_of(pointer: int | None) -> str:
    """The text that the library has given to its caller, who frees it by this."""
    try:
        return ctypes.string_at(pointer or 0).decode(errors="replace") if pointer else ""
    finally:
        _libc.free(pointer)


def free(pointer: Any) -> None:
    """Give back memory that the library has allocated for its caller."""
    _libc.free(ctypes.cast(pointer, c_void_p))


def numbers(parameters: Any, count: int) -> dict[str, int]:
    """The typed parameters that are whole numbers, by their names."""
    found = {}
    for one in parameters[:count] if count else ():
        if one.type in _INTEGERS:
            found[one.field.decode(errors="replace")] = getattr(one.value, _INTEGERS[one.type])
    return found


class ParameterList:
    """Typed parameters for a call; a context manager that frees them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Of no parameter yet."""
        self._library = library
        self.items = Parameters()
        self._count, self._room = c_int(0), c_int(0)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._count.value

    def add(self, name: str, value: str | int) -> None:
        """Append one; the library copies it."""
        kind = "Int" if isinstance(value, int) else "String"
        given = value if isinstance(value, int) else value.encode()
        add = getattr(self._library, f"virTypedParamsAdd{kind}")
        where = byref(self.items), byref(self._count), byref(self._room)
        if add(*where, name.encode(), given) != 0:
            raise MemoryError(f"libvirt takes no parameter {name}")

    def __enter__(self) -> ParameterList:
        return self

    def __exit__(self, *exc: object) -> None:
        self._library.virTypedParamsFree(self.items, self._count)
