"""The receiving side: a QEMU migration stream, into guest memory or a file."""
