"""Lines for a shell that mend something; none if it is in order already.

Advice to do what has been done leads in circles: load a loaded module, add a word that the kernel
was started with, restart for ever. So all judgements take their lines from here; if there are none,
their sentence says what is left to do.
"""

from __future__ import annotations

from ramferry.hardware.diagnosis.make import Commands
from ramferry.hardware.facts import HostFacts
from ramferry.hardware.families import COMPRESSION_SERVICES
from ramferry.hardware.root import Node

RESTART = "sudo systemctl restart qat"
LOG_IN_AGAIN = "then log in again"


def load(facts: HostFacts, module: str) -> Commands:
    """Load the module."""
    return () if facts.linux.loaded(module) else (f"sudo modprobe {module}",)


def reload(module: str, option: str = "") -> Commands:
    """Make a loaded module look for its devices again."""
    return (f"sudo modprobe -r {module}", f"sudo modprobe {module} {option}".rstrip())


def rebind(address: str, bound: str, driver: str) -> Commands:
    """Bind a device to its own driver instead of the one that has it."""
    drivers = "/sys/bus/pci/drivers"
    return (
        f"echo {address} | sudo tee {drivers}/{bound}/unbind",
        f"echo {address} | sudo tee {drivers}/{driver}/bind",
    )


def boot_with(facts: HostFacts, words: str) -> Commands:
    """Start the kernel with these words."""
    if facts.linux.booted_with(words):
        return ()
    return facts.distribution.boot_with(words, instead=facts.linux.gives(words))


def enlist(facts: HostFacts, group: str) -> Commands:
    """Make the user a member of the group."""
    if group in facts.identity.enrolled:
        return ()
    return (f"sudo usermod -aG {group} {facts.identity.name}   # {LOG_IN_AGAIN}",)


def open_node(facts: HostFacts, node: Node, otherwise: Commands) -> tuple[str, Commands]:
    """What to add to a sentence about a node that the user may not open, and the lines.

    :param otherwise: the lines where no group may open it.
    """
    owner = (node.evidence.content or ":root").rpartition(":")[2]
    if node.acl or node.mode & 0o060 != 0o060 or owner == "root":
        return "", otherwise
    lines = enlist(facts, owner)
    name = facts.identity.name
    return "" if lines else f"; {name} is in group {owner} from the next login on", lines


def lock_memory(facts: HostFacts, mib: int) -> Commands:
    """Let group qat lock that much memory."""
    if facts.limits.granted_bytes >= mib << 20:
        return ()
    line = f"@qat - memlock {mib << 10}"
    return (f"echo '{line}' | sudo tee {facts.limits.granted.path}   # {LOG_IN_AGAIN}",)


def install_accel_config(facts: HostFacts) -> Commands:
    """Install the tool that sets up IAA."""
    return () if facts.accel_config.exists else facts.distribution.install_accel_config()


def settings_of(facts: HostFacts) -> dict[str, str]:
    """The settings of qat.service by name."""
    pairs = (line.partition("=") for line in (facts.settings.content or "").splitlines())
    return {
        key.strip(): value.strip()
        for key, equals, value in pairs
        if equals and not key.lstrip().startswith("#")
    }


def undone_by_service(facts: HostFacts) -> bool:
    """Whether qat.service, when it starts, takes compression from every device again."""
    wanted = settings_of(facts).get("ServicesEnabled", "")
    return bool(wanted) and not COMPRESSION_SERVICES.intersection(wanted.split(";"))


def edit_settings(facts: HostFacts) -> Commands:
    """Make qat.service give all devices compression."""
    return (f"sudoedit {facts.settings.path}   # ServicesEnabled=dc", RESTART)


def start_service(facts: HostFacts) -> Commands:
    """Start qat.service, now and at each boot."""
    if not facts.unit.exists:
        return (*facts.distribution.install_service(), "sudo systemctl enable --now qat")
    if facts.enabled.content is None:
        return ("sudo systemctl enable --now qat",)
    return ("sudo journalctl -u qat", RESTART)
