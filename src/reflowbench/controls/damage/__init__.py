"""What the metrics make of real images that are damaged in known ways."""
