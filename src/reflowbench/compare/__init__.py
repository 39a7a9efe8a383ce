"""Two revisions side by side, from what Git tracks: parameters, cells of the grid, headline metrics."""
