"""Where data moves: the relay."""
