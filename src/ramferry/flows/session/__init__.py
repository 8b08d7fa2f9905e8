"""What one migration's threads share: its phases, marks, counters, and the one way it fails."""
