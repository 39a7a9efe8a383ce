"""Pairs (x0, x1) made by the flow, and their store."""
