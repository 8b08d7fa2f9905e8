"""The metrics' names, kinds and labels.

Names follow Prometheus' conventions (prometheus.io/docs/practices/naming): base units in the
plural, and ``_total`` for counters. Every label has few values: a migration's id or a guest's UUID
is none, those stand in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COUNTER, GAUGE, HISTOGRAM, INFO = "counter", "gauge", "histogram", "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """As it is written, with ``_total`` or ``_info``."""
    kind: str
    help: str
    labels: tuple[str, ...] = ()


BUILD: Final = Metric("ramferry_build_info", INFO, "The relay's version.", ("version",))
UNDER_WAY: Final = Metric(
    "ramferry_migrations_under_way", GAUGE, "Migrations, by how far they are.", ("state",)
)
HAVE_ENDED: Final = Metric(
    "ramferry_migrations_total",
    COUNTER,
    "Migrations that have ended; undecided: see with info status which QEMU runs the guest.",
    ("outcome",),
)
ERRORS: Final = Metric(
    "ramferry_migration_errors_total",
    COUNTER,
    "Migrations that did not complete, by the class of their error.",
    ("class",),
)
WIRE: Final = Metric(
    "ramferry_migration_wire_bytes_total",
    COUNTER,
    "Bytes received from the source's side (in) and sent to the destination's (out), headers"
    " included, by multifd-compression.",
    ("direction", "method"),
)
CHANNEL: Final = Metric(
    "ramferry_connection_wire_bytes_total",
    COUNTER,
    "The same bytes by connection: main, multifd N, stream N.",
    ("direction", "channel"),
)
PAGE_BYTES: Final = Metric(
    "ramferry_migration_page_bytes_total",
    COUNTER,
    "Guest memory in pages that came with their content, before compression.",
)
PAGES: Final = Metric(
    "ramferry_migration_pages_total",
    COUNTER,
    "Pages carried: normal ones, with their content, and zero pages.",
    ("kind",),
)
PACKETS: Final = Metric("ramferry_migration_packets_total", COUNTER, "Multifd packets carried.")
RATIO: Final = Metric(
    "ramferry_migration_compression_ratio",
    GAUGE,
    "Guest memory per byte sent, of the migrations under way, else of the last one.",
)
MARKS: Final = Metric(
    "ramferry_migration_sync_marks_total", COUNTER, "Sync marks that passed on main."
)
WAITS: Final = Metric(
    "ramferry_migration_sync_wait_seconds_total",
    COUNTER,
    "Seconds waited at sync marks: main for every channel, channels (added up) for main.",
    ("waiting",),
)
CPU: Final = Metric(
    "ramferry_cpu_seconds_total",
    COUNTER,
    "CPU time of the relay's process: codecs, digests, the kernel, and all else.",
    ("kind",),
)
DOWNTIME: Final = Metric(
    "ramferry_migration_downtime_seconds",
    HISTOGRAM,
    "From ram's END let go to the destination's SHUT, as the relay saw it; the guest stands still a"
    " little longer, from before END.",
)
DURATION: Final = Metric(
    "ramferry_migration_duration_seconds",
    HISTOGRAM,
    "From the first byte of a migration that completed to its end.",
)
BACKEND: Final = Metric(
    "ramferry_backend_info",
    INFO,
    "What inflated and compressed in the migration that ended last.",
    ("backend",),
)
REFUSED: Final = Metric(
    "ramferry_connections_refused_total",
    COUNTER,
    "Refused connections and migrations; those alike within 5 s count once, as in the log.",
)

TABLE: Final = (
    *(BUILD, UNDER_WAY, HAVE_ENDED, ERRORS, WIRE, CHANNEL, PAGE_BYTES, PAGES, PACKETS, RATIO),
    *(MARKS, WAITS, CPU, DOWNTIME, DURATION, BACKEND, REFUSED),
)
"""All of Ramferry's own; prometheus-client adds those of the process (``process_…``)."""

DOWNTIME_BUCKETS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds; QEMU's own ``downtime-limit`` is 0.3."""
DURATION_BUCKETS: Final = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Seconds."""
