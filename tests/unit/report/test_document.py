"""JSON has the table's truth, with null for what is not known."""

import io
import json

from ramferry.metrics import MigrationResult
from ramferry.report.document import migrations, write_document

KNOWN = MigrationResult(
    "qatzip", "qatzip", 1, 8, "relay pair", 4712, 38, 912.4, 111_234.6, 95.4, None,
    537_400_123, 1_800_000_000, 3.3496, "isa-l", 4,
)  # fmt: skip
UNKNOWN = MigrationResult(
    "zlib", "zlib", 1, 8, "QEMU built-in", 1, 2, None, 3.0, 4.0, 5.0, None, 6, None, "QEMU", 7
)


def test_document() -> None:
    out = io.StringIO()
    write_document(migrations([KNOWN, UNKNOWN], {"link": "1 Gbit/s"}), out)
    assert out.getvalue().endswith("}\n")
    content = json.loads(out.getvalue())
    assert list(content)[:3] == ["format", "version", "ramferry"]
    assert (content["format"], content["version"]) == ("migrations", 5)
    assert content["link"] == "1 Gbit/s"
    known, unknown = content["results"]
    assert known["total_time_ms"] == 4712
    assert known["recv_cpu_percent"] is None
    assert known["wire_bytes"] == 537_400_123
    assert (unknown["wire_bytes"], unknown["mbps"], unknown["ratio"]) == (None, None, None)
