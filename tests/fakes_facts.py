"""What an old QEMU of a distribution says of itself, for tests of what is decided by it."""

from ramferry.control.qemu.probe import QemuFacts

FACTS = QemuFacts(
    version=(7, 2, 22),
    methods=frozenset({"none", "zlib", "zstd"}),
    capabilities={"multifd": False, "return-path": True, "xbzrle": True, "events": False},
    parameters={
        "multifd-channels": 2,
        "multifd-compression": "none",
        "multifd-zlib-level": 1,
        "downtime-limit": 300,
        "max-bandwidth": 134217728,
    },
    run_state="running",
    migration="none",
    listening=None,
    vcpu_threads=(1,),
)
