"""Collapse metrics: quality, diversity and straightness of a model's samples."""
