"""What every JSON document of ``--json`` begins with.

::

    {"format": "benchmark", "version": 5, "ramferry": "0.1.0", …}

``format`` says what the document holds, ``version`` how that is laid out, and ``ramferry`` which
Ramferry wrote it. The keys that follow are the field names of a record in ``metrics``,
``bench.codecs``, ``bench.ceiling.figures``, ``report.benchmark.comparison`` or
``report.benchmark.series``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ramferry import __version__

VERSION: Final = 5
"""Of every format: raised when a field changes its meaning or goes, and when one is added to a
format that is read again (``benchmark``, ``links``), whose readers refuse fields that they do not
know.

Documents of version 1 had the number 1 as their ``format``, or no format at all; version 2 lacked
``member_size``, version 3 what two Ramferrys agreed on, the time for digests, and ``tls``; version
4 what changed during a run, and what was chosen from packet to packet.
"""


def document(format: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A document of a format, for example "doctor": the common head, then ``content``."""
    return {"format": format, "version": VERSION, "ramferry": __version__, **content}
