"""The built-in guest: a process with RAM, a workload and QEMU's monitor, which needs no QEMU."""
