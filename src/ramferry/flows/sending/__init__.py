"""The sending side: guest memory or a file, out as a QEMU migration stream."""
