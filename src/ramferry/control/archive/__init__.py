"""``ramferry save`` and ``restore``: a guest into a file, and back."""
