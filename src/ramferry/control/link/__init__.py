"""A probe of the link between two hosts: the end that sends, and the end that answers."""
