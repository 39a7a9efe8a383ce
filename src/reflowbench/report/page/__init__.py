"""The report as one self-contained, interactive HTML file."""
