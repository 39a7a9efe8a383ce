"""Looking at a model: a grid of its samples, and how they come out of the noise."""
