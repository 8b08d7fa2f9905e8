"""The demonstration's words and its way without a QEMU; with one, tests/interop runs it."""

from pathlib import Path

import pytest

from ramferry.bench.demo import (
    Demo,
    check_memory,
    headline,
    how_to_get_qemu,
    run,
)
from ramferry.bench.qemu import QemuBinary
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import HostError

GIB = 1 << 30
DEMO = Demo(QemuBinary(Path("/usr/bin/qemu"), (7, 2, 22)), GIB, ("none", "qatzip"), 8, 125_000_000)


def test_headline_names_machine_guest_link_and_backend() -> None:
    text = headline(DEMO)
    for part in (
        "cores (",
        "QEMU 7.2.22 with ",
        "an idle guest of 1.0 GiB, full of generated text, records and zero pages",
        "a relay pair with 8 channels over a link of 1 Gbit/s",
        "all compression in software.",
    ):
        assert part in text


def test_headline_of_other_data_on_an_unlimited_link() -> None:
    text = headline(Demo(DEMO.binary, GIB, ("none",), 2, 0, (Path("silesia"),)))
    assert "full of the files of RAMFERRY_DATA" in text
    assert "over an unlimited link" in text


def test_memory_for_two_guests_and_the_rest() -> None:
    check_memory(GIB, 5 * GIB // 2)
    with pytest.raises(HostError, match="try --memory 512M"):
        check_memory(GIB, 3 * GIB // 2)


def test_without_a_qemu_the_built_in_guest_runs_and_is_named() -> None:
    demo = Demo(None, 64 << 20, ("none", "qatzip"), 2, 0)
    assert ", Ramferry's built-in guest in place of a QEMU: an idle guest of 64 MiB" in headline(
        demo
    )
    plain, packed = run(demo, lambda _: Hooks())
    assert (plain.name, packed.name) == ("none", "qatzip")
    assert plain.normal_bytes == packed.normal_bytes > 20 << 20
    assert packed.ratio > 2 * plain.ratio > 1.9
    assert packed.route == "relay pair"


def test_the_line_that_brings_a_qemu() -> None:
    assert "`dnf install qemu-system-x86` (as root)" in how_to_get_qemu(["dnf"])
    everywhere = how_to_get_qemu([])
    for line in ("apt-get install qemu-system-x86", "zypper install qemu-x86"):
        assert line in everywhere
