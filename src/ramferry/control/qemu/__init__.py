"""A QEMU by its monitor: what it can do, where it stands, what is set on it and taken back."""
