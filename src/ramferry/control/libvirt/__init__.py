"""libvirt, as far as a migration needs it: one contract, kept by its library and by ``virsh``."""
