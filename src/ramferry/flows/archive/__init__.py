"""VM state in one file: saved by a receiver, restored by a sender."""
