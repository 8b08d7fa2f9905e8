"""Sockets for the wire: addresses, exact transfers, pacing, buffer sizes. No protocol here."""
