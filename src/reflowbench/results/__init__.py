"""Results: the tidy table, and statistics over seeds."""
