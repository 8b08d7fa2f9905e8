"""What this host has: QAT and IAA devices, the software around them, and what follows from it.

Facts are read once, from a root that can be replaced (``discover``); findings, memory plans and
advice are pure functions over them.
"""
