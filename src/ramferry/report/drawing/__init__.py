"""A ``report.grid.Grid`` on a terminal, as plain text, as Markdown and as CSV.

Each module draws the table alone. Its title and notes are placed by the caller.
"""
