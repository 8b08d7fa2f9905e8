"""Guest memory: RAM blocks, zero pages, dirty tracking."""
