"""Where a migration comes in: connections told apart, both kinds of channel up to checked pages."""
