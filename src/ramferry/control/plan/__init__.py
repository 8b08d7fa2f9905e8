"""``ramferry plan time``: a guest's memory sampled, and what a migration of it would take."""
