"""Which method each packet gets where both ends are Ramferrys, or which level of one method:
measured, decided, and told."""
