"""A libvirt job's statistics as QEMU's ``query-migrate`` would tell them, so that both are shown
alike. Pure."""

from __future__ import annotations

from typing import Any, Final

from ramferry.control.libvirt.contract import Stats
from ramferry.vocabulary import PAGE_SIZE

_RAM: Final = {
    "memory_total": "total",
    "memory_remaining": "remaining",
    "memory_processed": "transferred",
    "memory_normal": "normal",
    "memory_constant": "duplicate",
    "memory_dirty_rate": "dirty-pages-rate",
    "memory_iteration": "dirty-sync-count",
    "memory_page_size": "page-size",
}
"""libvirt's names, and QEMU's in ``ram``."""


def as_query_migrate(stats: Stats, status: str) -> dict[str, Any]:
    """What ``query-migrate`` calls what libvirt tells.

    :param status: QEMU's word for where the migration stands.
    """
    ram = {theirs: stats[ours] for ours, theirs in _RAM.items() if ours in stats}
    info: dict[str, Any] = {"status": status, "ram": {"page-size": PAGE_SIZE, **ram}}
    if "setup_time" in stats:
        info["setup-time"] = stats["setup_time"]
    if "downtime" in stats:
        info["downtime" if status == "completed" else "expected-downtime"] = stats["downtime"]
    if "auto_converge_throttle" in stats:
        info["cpu-throttle-percentage"] = stats["auto_converge_throttle"]
    if "time_elapsed" in stats:
        info["total-time"] = stats["time_elapsed"]
    return info
