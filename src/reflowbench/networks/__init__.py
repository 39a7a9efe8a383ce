"""Velocity networks v(x, t), built from parameters and stored as safetensors."""
