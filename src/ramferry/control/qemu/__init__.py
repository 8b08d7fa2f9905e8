"""A QEMU by its monitor: what it can do, its status, and settings that are made and undone."""
