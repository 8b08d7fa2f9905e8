"""The far half: what ``ramferry far``, which ssh starts on another host, does there."""
