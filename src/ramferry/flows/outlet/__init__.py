"""Where a migration goes out: pages, marks and the rest of main onto the wire, the answer back."""
