"""Rectified flows to laws in closed form: targets, distances from them, and chains of every method."""
