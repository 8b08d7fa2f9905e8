"""Several guests through one pair of relays under faults, for as long as one likes.

``PYTHONPATH=tests:tests/interop python tests/interop/run_many.py --seconds 600 --migrations 8``
"""

from __future__ import annotations

import argparse
import statistics

from many_soak import Course, Soak

from ramferry.bench.qemu import choose_qemu


def main() -> int:
    """Run what the command line says; 1 where something was not as it may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--migrations", type=int, default=8)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--qemu", help="its version; by default the oldest one here")
    options = parser.parse_args()
    soak = Soak(choose_qemu(options.qemu), options.migrations, options.seed)
    course = soak.run(options.seconds)
    _print(course)
    return 1 if course.wrong else 0


def _print(course: Course) -> None:
    for outcome, count in sorted(course.outcomes.items()):
        print(f"{count:6} {outcome}")
    print(f"most at a time: {course.most_at_once}")
    print(f"descriptors, near and far: {course.descriptors}")
    span = course.rss[-1][0]
    for name, column in (("near", 1), ("far", 2)):
        parts = [
            statistics.mean(
                one[column] for one in course.rss if part <= one[0] * 6 / max(span, 1) <= part + 1
            )
            / 1e6
            for part in range(6)
        ]
        print(
            f"{name} relay, MB resident, by sixths of the time:", *(f"{one:.0f}" for one in parts)
        )
    print(*course.wrong, sep="\n")


if __name__ == "__main__":
    raise SystemExit(main())
