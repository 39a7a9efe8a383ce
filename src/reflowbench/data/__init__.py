"""Real images as tensors, whatever their source."""
