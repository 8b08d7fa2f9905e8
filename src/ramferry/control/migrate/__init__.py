"""``ramferry migrate``: the route between two QEMUs, its relays, and the course along it."""
