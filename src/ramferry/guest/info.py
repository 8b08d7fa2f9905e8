"""``query-migrate`` of the built-in guest: counters of its sender or receiver, named as QEMU's."""

from __future__ import annotations

from typing import Any

from ramferry.metrics import SendProgress
from ramferry.transport.address import Address, TcpAddress, place_of
from ramferry.vocabulary import PAGE_SIZE


def of_source(progress: SendProgress, error: str) -> dict[str, Any]:
    """The answer at the source of a migration.

    :param error: why it failed; empty if it did not.
    """
    info: dict[str, Any] = {"status": progress.status}
    if progress.status in ("failed", "cancelled"):
        return info | {"error-desc": error}
    if progress.status == "setup":
        return info
    info |= {
        "total-time": progress.total_time_ms,
        "setup-time": progress.setup_time_ms,
        "ram": _ram(progress),
    }
    if progress.downtime_ms is not None:
        info["downtime"] = progress.downtime_ms
    elif progress.status != "completed":
        info["expected-downtime"] = progress.expected_downtime_ms
    return info


def _ram(progress: SendProgress) -> dict[str, int | float]:
    counters = progress.counters
    main = sum(one.bytes_out for one in counters.channels if one.name == "main")
    seconds = max(progress.total_time_ms - progress.setup_time_ms, 1) / 1000
    pages = counters.normal_pages + counters.zero_pages
    page_size = (
        counters.normal_bytes // counters.normal_pages if counters.normal_pages else PAGE_SIZE
    )
    return {
        "total": progress.total_bytes,
        "remaining": progress.remaining_bytes,
        "transferred": counters.bytes_out,
        "mbps": counters.bytes_out * 8 / 1e6 / seconds,
        "pages-per-second": round(pages / seconds),
        "normal": counters.normal_pages,
        "normal-bytes": counters.normal_bytes,
        "duplicate": counters.zero_pages,
        "page-size": page_size,
        "dirty-sync-count": progress.dirty_sync_count,
        "dirty-pages-rate": progress.dirty_pages_rate,
        "multifd-bytes": counters.bytes_out - main,
        "precopy-bytes": main,
        "postcopy-bytes": 0,
        "postcopy-requests": 0,
        "dirty-sync-missed-zero-copy": 0,
    }


def of_destination(status: str, error: str, address: Address | None) -> dict[str, Any]:
    """The answer at the destination of a migration."""
    if status == "none":
        return {}
    info: dict[str, Any] = {"status": status}
    if error:
        info["error-desc"] = error
    if address is not None and status in ("setup", "active"):
        info["socket-address"] = [_socket_address(address)]
    return info


def _socket_address(address: Address) -> dict[str, str | bool]:
    place = place_of(address)
    if isinstance(place, TcpAddress):
        family = "ipv6" if ":" in place.host else "ipv4"
        return {"type": "inet", "host": place.host, "port": str(place.port), family: True}
    return {"type": "unix", "path": place.path}
