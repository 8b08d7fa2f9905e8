"""What a migration may begin or end in besides a wire: guest memory, a file."""
