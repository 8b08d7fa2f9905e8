"""How long a migration takes: samples and trials in, estimates and a choice out."""
