"""Where a QEMU runs: its network namespace, its user, and folders that both may use."""
