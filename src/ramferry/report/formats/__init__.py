"""The formats of a report: a page, text, Markdown, CSV."""
