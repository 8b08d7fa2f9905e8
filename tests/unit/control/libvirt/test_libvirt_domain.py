"""What a domain's description tells, and the sentence for one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes_libvirt import FakeLibvirt
from ramferry.control.libvirt.domain import check_leaves, described, look_up
from ramferry.errors import PeerUnreachable, UsageError

XML = """<domain type='kvm' id='1'><name>a</name>
<uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
<memory unit='KiB'>2048</memory><currentMemory unit='KiB'>1024</currentMemory>{more}</domain>"""
NUMA = (
    """<cpu><numa><cell id='0' memory='1' unit='MiB'/><cell id='1' memory='1024'/></numa></cpu>"""
)


def test_what_is_described() -> None:
    found = described("a", "running", XML.format(more=""))
    assert (found.name, found.state, found.memory, found.cells) == ("a", "running", 2 << 20, ())
    assert found.uuid == "c7a5fdbd-edaf-9455-926a-d65c16db1809"
    assert described("a", "running", XML.format(more=NUMA)).cells == (1 << 20, 1 << 20)


@pytest.mark.parametrize(
    "text", ["", "<domain>", "x" * (17 << 20), "<domain><memory unit='acre'>1</memory></domain>"]
)
def test_what_is_no_description(text: str) -> None:
    with pytest.raises(PeerUnreachable, match="what libvirt says of a is no domain's XML"):
        described("a", "running", text)


@pytest.mark.parametrize("state", ["shut off", "crashed", "in shutdown", "no state"])
def test_a_domain_without_a_guest(state: str) -> None:
    found = described("a", state, XML.format(more=""))
    with pytest.raises(UsageError, match=f"the domain a is {state}: only one that is running or"):
        check_leaves(found)


def test_near_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeLibvirt("library", tmp_path, monkeypatch).connect() as near:
        assert look_up(near, "guest").state == "running"
        with pytest.raises(UsageError) as caught:
            look_up(near, "gust")
        assert str(caught.value) == (
            "no domain is named 'gust' at qemu:///system: it has guest and 1 more (Domain not"
            " found: no domain with matching name 'gust')"
        )
        with pytest.raises(UsageError, match=r"it has guest, other \("):
            look_up(near, "zzz")
