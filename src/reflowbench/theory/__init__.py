"""Models whose collapse is known in closed form, or nearly so."""
