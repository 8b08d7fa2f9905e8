"""What candidates make of pages as a rule, until a migration has measured them itself. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ramferry.policy.candidates import candidates
from ramferry.policy.measurements import NONE, Candidate, Figure, PageClass

_TABLE: Final = """
zstd   -7 | 0.122 0.339 0.17 | 0.409 1.41 0.4   | 0.622 1.2 0.34   | 1.000 0.109 0.038
zstd   -5 | 0.116 0.297 0.14 | 0.375 1.45 0.39  | 0.606 1.26 0.36  | 1.000 0.105 0.046
zstd   -3 | 0.104 0.389 0.16 | 0.333 1.63 0.42  | 0.571 1.48 0.39  | 1.000 0.13 0.049
zstd   -1 | 0.100 0.472 0.16 | 0.298 1.78 0.43  | 0.538 1.64 0.4   | 1.000 0.121 0.045
zstd    1 | 0.068 0.564 0.17 | 0.237 1.84 0.45  | 0.457 2 0.61     | 1.000 0.133 0.046
zstd    3 | 0.074 1.12 0.28  | 0.211 2.74 0.66  | 0.411 3.65 0.83  | 1.000 0.268 0.047
zstd    6 | 0.070 3.78 0.38  | 0.191 7.51 0.67  | 0.390 8.76 0.9   | 1.000 1.59 0.07
zstd    9 | 0.069 4.58 0.47  | 0.182 12.1 0.66  | 0.382 15.9 0.99  | 1.000 2.84 0.09
zstd   12 | 0.068 12 0.3     | 0.175 32.5 0.71  | 0.376 41.3 0.96  | 1.000 15.2 0.1
zstd   15 | 0.068 23 0.26    | 0.167 250 0.73   | 0.372 235 1.1    | 1.000 20.5 0.098
zstd   19 | 0.065 202 0.21   | 0.156 448 0.74   | 0.357 416 1.3    | 1.000 154 0.12
qatzip  1 | 0.077 0.503 0.38 | 0.264 1.71 0.92  | 0.451 1.93 1.3   | 1.000 0.48 0.064
qatzip  2 | 0.076 1.52 0.38  | 0.256 2.73 0.91  | 0.448 2.64 1.3   | 1.000 1.73 0.076
qatzip  3 | 0.076 1.44 0.37  | 0.256 2.51 0.88  | 0.445 2.78 1.3   | 1.000 2 0.087
qatzip  4 | 0.074 2.12 0.34  | 0.228 5.61 0.67  | 0.426 7.45 1.2   | 1.000 9.04 0.12
qatzip  5 | 0.073 2.03 0.31  | 0.221 6.82 0.75  | 0.419 8.87 1.2   | 1.000 8.28 0.071
qatzip  6 | 0.072 2.45 0.31  | 0.211 14.3 0.74  | 0.417 13.4 1.2   | 1.000 8.15 0.069
qatzip  7 | 0.072 2.47 0.3   | 0.211 13.7 0.7   | 0.417 14.2 1.3   | 1.000 9.11 0.1
qatzip  8 | 0.072 4.14 0.29  | 0.209 23.8 0.74  | 0.416 18.5 1.2   | 1.000 8.71 0.076
qatzip  9 | 0.072 5.41 0.3   | 0.208 28.4 0.75  | 0.416 19.8 1.2   | 1.000 8.9 0.083
zlib    1 | 0.077 0.503 0.42 | 0.264 1.71 1     | 0.451 1.93 1.6   | 1.000 0.48 0.1
zlib    2 | 0.076 1.58 0.42  | 0.256 2.57 1     | 0.448 2.74 1.6   | 1.000 2.15 0.1
zlib    3 | 0.074 1.44 0.42  | 0.238 5.85 0.85  | 0.433 8.9 1.5    | 1.000 13 0.12
zlib    4 | 0.074 2.26 0.45  | 0.227 7.95 0.82  | 0.428 11.3 1.6   | 1.000 13.5 0.12
zlib    5 | 0.074 1.93 0.42  | 0.220 8.84 0.77  | 0.423 12 1.5     | 1.000 14 0.12
zlib    6 | 0.073 2.35 0.41  | 0.216 15.2 0.87  | 0.423 14.5 1.5   | 1.000 15.7 0.11
zlib    7 | 0.073 2.77 0.4   | 0.212 21.4 0.77  | 0.421 19.6 1.4   | 1.000 13.5 0.12
zlib    8 | 0.072 6.56 0.39  | 0.210 33.2 0.78  | 0.421 28.7 1.9   | 1.000 18.7 0.14
zlib    9 | 0.076 28.4 0.49  | 0.211 35.5 0.75  | 0.419 38.3 1.5   | 1.000 18.2 0.12
"""
"""For mostly zero, text-like, binary and incompressible packets: wire bytes, and core nanoseconds
of both ends, for each byte of pages. One core of an AMD EPYC (family 26), libzstd 1.5.4, packets of
512 KiB of the Silesia subset and of made pages, by ``tools/expectations.py``. The costs of zlib
were measured on such a core that others shared, and divided by how much longer it took than alone:
2.4 times at level 1, which is qatzip's, 1.25 at 2 and 1.4 above (by the rates in
``codec.zlib``)."""

_NANOSECOND: Final = 1e-9

DEVICE_SECONDS: Final = 0.26 * _NANOSECOND
"""What a device leaves to the cores of compressing a byte of pages. In the table of QEMU's page on
qatzip a source of 54 GiB takes 0.46 ns of a core for each byte with four devices, and 0.36 without
compression, most of which goes with the bytes on the wire, of which there are 2.66 times fewer."""

YARDSTICK: Final = Candidate("zstd", 1)
"""The candidate whose cost tells how fast a host is."""
YARDSTICKS: Final = (YARDSTICK, Candidate("qatzip", 1), Candidate("zlib", 1))
"""The same, and what stands in for it where it is no candidate."""

Expectations = dict[PageClass, dict[Candidate, Figure]]


def expected(
    among: Collection[Candidate], near_factor: float = 1.0, far_factor: float = 1.0
) -> Expectations:
    """Figures of candidates for each class, none of them measured.

    :param near_factor: how much longer than in the table a core takes where pages are compressed;
        ``factor`` tells.
    :param far_factor: the same where they are inflated.
    """
    return {
        kind: {one: _scaled(_BY_CLASS[kind][one], near_factor, far_factor) for one in among}
        for kind in PageClass
    }


def factor(kind: PageClass, candidate: Candidate, figure: Figure) -> float:
    """How much longer a core takes for compressing than in the table, by what was measured of one
    candidate; 1 for ``NONE``, which tells nothing."""
    known = _BY_CLASS[kind][candidate].encode
    return figure.encode / known if known else 1.0


def _scaled(figure: Figure, near_factor: float, far_factor: float) -> Figure:
    return Figure(figure.wire, figure.encode * near_factor, figure.decode * far_factor)


def _parsed() -> Expectations:
    found: Expectations = {kind: {NONE: Figure(1.0, 0.0, 0.0)} for kind in PageClass}
    for line in _TABLE.split("\n")[1:-1]:
        name, *cells = line.split("|")
        method, level = name.split()
        for kind, cell in zip(PageClass, cells, strict=True):
            wire, encode, decode = map(float, cell.split())
            figure = Figure(wire, encode * _NANOSECOND, decode * _NANOSECOND)
            found[kind][Candidate(method, int(level))] = figure
    for figures in found.values():
        for one in candidates(device=True):
            if one.device:
                same = figures[Candidate(one.method, one.level)]
                figures[one] = Figure(same.wire, DEVICE_SECONDS, same.decode)
    return found


_BY_CLASS: Final = _parsed()
