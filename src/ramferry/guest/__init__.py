"""The built-in guest: RAM, a workload, a state that must go on, and a QMP monitor."""
