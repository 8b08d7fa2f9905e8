"""Ramferry carries a running virtual machine's memory between hosts through a thin pipe."""

__version__ = "0.1.0"
