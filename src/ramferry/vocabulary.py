"""Words and numbers that more than one package needs: QEMU's, QATzip's, and names of choices.

It imports nothing but ``typing``, so that a command line can name every method, level and
accelerator without loading what does the work. What only one package needs stays there.
"""

from typing import Final, Literal, get_args

Buffer = bytes | bytearray | memoryview
"""The types that hold bytes to be sent or received; memoryviews are one-dimensional, of format
``B``, contiguous."""

GIB: Final = 1 << 30

# --- pages and packets

PAGE_SIZE: Final = 4096
"""Default size of a target page in bytes: that of x86, s390x and most Arm guests."""

PAGE_SIZES: Final = (1024, 2048, PAGE_SIZE, 8192, 16384, 65536)
"""Target page sizes of QEMU's machines, in bytes."""

PACKET_BYTES: Final = 512 * 1024
"""Page bytes of a full multifd packet, for every page size (QEMU's MULTIFD_PACKET_SIZE)."""

MAX_CHANNELS: Final = 255
"""The most that QEMU's ``multifd-channels`` may be."""

MAX_MIGRATIONS: Final = 64
"""Most migrations of one relay at a time."""

MAX_DOWNTIME_LIMIT_MS: Final = 2_000_000
"""Milliseconds; QEMU refuses a larger ``downtime-limit``."""

RELAY_PAIR: Final = "relay pair"
"""The route with a relay on either side."""

# --- multifd methods

METHOD_FLAGS: Final = {"none": 0, "zlib": 2, "zstd": 4, "qpl": 8, "uadk": 16, "qatzip": 32}
"""QEMU's ``multifd-compression``: each method and its bit in a packet's flags, in the order of the
bits (QEMU 7.2 to 11.1)."""

METHOD_LEVELS: Final = {"zlib": range(10), "zstd": range(21), "qatzip": range(1, 10)}
"""QEMU's range of each method's level; the other methods have none."""

DEFAULT_LEVEL: Final = 1
"""QEMU's own default, for each method that has levels."""

LEVEL_PARAMETERS: Final = {method: f"multifd-{method}-level" for method in METHOD_LEVELS}
"""QEMU's migration parameter for a method's level."""

# --- accelerators

AUTO, REQUIRE, OFF = "auto", "require", "off"
ACCELERATORS: Final = (AUTO, REQUIRE, OFF)
"""``auto``: hardware if a job proved it, else software. ``require``: hardware or an error.
``off``: software, and no library is loaded."""

RELAY_METHODS: Final = (*METHOD_FLAGS, AUTO)
"""What a relay's outgoing side may be told: a method, or ``auto``, which chooses one for each
packet and needs a Ramferry at the far end."""

# --- migration statuses and run states

Status = Literal[
    "none",
    "setup",
    "cancelling",
    "cancelled",
    "active",
    "pre-switchover",
    "device",
    "postcopy-active",
    "postcopy-paused",
    "postcopy-recover-setup",
    "postcopy-recover",
    "completed",
    "failed",
    "colo",
    "wait-unplug",
]
"""A migration's status in ``query-migrate``, as of QEMU 10.0."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

ENDED: Final[frozenset[str]] = frozenset({"completed", "failed", "cancelled"})
"""Statuses that are final."""

IDLE: Final = ENDED | {"none"}
"""Statuses in which a source can begin a migration."""

RunState = Literal[
    "prelaunch",
    "running",
    "paused",
    "inmigrate",
    "finish-migrate",
    "postmigrate",
]
"""A guest's run state in ``query-status``: those of QEMU's that the built-in guest has as well."""

INMIGRATE: Final = "inmigrate"
"""Run state of a destination that does not have all of its guest yet."""

FINISH_MIGRATE: Final = "finish-migrate"
"""Run state of a source from the switchover until a moment after its migration's end."""

POSTMIGRATE: Final = "postmigrate"
"""Run state of a source whose guest has gone, or was saved."""

DECIDE_SECONDS: Final = 60.0
"""Seconds that a Ramferry asks the far one how a switchover ended, and keeps the outcome for one
that asks, if ``--decide`` does not say otherwise."""

# --- commands to the destination (MIG_CMD)

OPEN_RETURN_PATH: Final = 1
PING: Final = 2
POSTCOPY_ADVISE: Final = 3
POSTCOPY_LISTEN: Final = 4
POSTCOPY_RUN: Final = 5
POSTCOPY_RAM_DISCARD: Final = 6
PACKAGED: Final = 7
ENABLE_COLO: Final = 8
POSTCOPY_RESUME: Final = 9
RECV_BITMAP: Final = 10
SWITCHOVER_START: Final = 11

# --- QATzip

GZIP_EXT, GZIP, RAW, FOUR_BYTE, ZLIB = "gzip-ext", "gzip", "raw", "4B", "zlib"
FORMATS: Final = (GZIP_EXT, GZIP, RAW, FOUR_BYTE, ZLIB)
"""QATzip's deflate formats; ``qatzip.framing`` describes their bytes."""

MEMBER_SIZE: Final = 65536
"""Default input bytes of a member: QATzip's hw_buff_sz, the most that hardware inflates at once."""

MEMBERS_OF_64K, ONE_MEMBER = "64K", "packet"
MEMBER_SIZES: Final = (AUTO, MEMBERS_OF_64K, ONE_MEMBER)
"""How method ``qatzip`` cuts a packet's pages into members. ``64K``: ``MEMBER_SIZE`` each, which a
QAT device inflates. ``packet``: one, for which software needs fewer calls. ``auto``: one if the
inflating end is known to be software, else 64K."""

MAX_MEMBER_SIZE: Final = 1 << 30
"""Most input bytes of a member: incompressible data still fits the 32-bit sizes of its header."""

MAX_DEFLATE_RATIO: Final = 1032
"""Bytes that deflate makes of one at most: a header that promises more is false, and no memory is
allocated for it."""

QATZIP_SONAME: Final = "libqatzip.so.3"
QAT_SONAME: Final = "libqat.so.4"

# --- what the built-in guest may be asked for

Pattern = Literal["sequential", "random", "hot-set"]
PATTERNS: Final[tuple[Pattern, ...]] = get_args(Pattern)
"""Which pages the built-in guest's workload writes; ``guest.workload`` says how."""

Wanted = Literal["auto", "uffd-wp", "digest"]
TRACKERS: Final[tuple[Wanted, ...]] = get_args(Wanted)
"""How written pages are found: by the kernel ("uffd-wp") or by comparison ("digest"); ``auto``
tries the kernel first."""
