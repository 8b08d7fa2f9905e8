"""How long the ends of a migration are waited for, by the loops that follow one."""

from __future__ import annotations

POLL_SECONDS = 0.2

GRACE_SECONDS = 3.0
"""How long the source may take to notice by itself that a relay or the destination is gone (0.25 s
if a relay resets its connection) before it is told to cancel."""

UNDO_SECONDS = 30.0
"""How long a migration may take to end after there was a reason to end it."""

MOMENT_SECONDS = 1.0
"""How long it may still take after a second signal. A source in ``device`` goes on with its guest
0.1 s after ``migrate_cancel``; waiting for that makes the last sentence true."""

LOST_SECONDS = 30.0
"""How long the source's monitor may stay unreachable before the migration is left to itself."""

LAST_WORDS_SECONDS = 5.0
"""How long the relays may take to say why a migration failed: 0.1 s unless the host is busy, and as
long as one of them waits for the other's last word."""

TIMES_SECONDS = 2.0
"""How long a source that has completed may take to report its total time and downtime."""

SWITCH_SECONDS = 2.0
"""If a switchover, of 0.1 s as a rule, takes longer, both ends are asked repeatedly."""

LONGEST_LOOK = 5.0
"""Seconds that one turn of the loop may take if a QEMU does not answer."""
