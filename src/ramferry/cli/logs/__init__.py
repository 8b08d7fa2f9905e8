"""What a relay says to those who keep logs: sentences as text, as JSON, or in systemd's journal."""
