"""A benchmark's record, and the figures, tables and sentences drawn from it."""
