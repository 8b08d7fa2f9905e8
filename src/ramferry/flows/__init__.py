"""Where data moves: the relay, the receiver and the sender, and the two ends they are made of."""
