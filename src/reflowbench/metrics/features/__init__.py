"""Feature networks: the spaces in which samples are compared with real images."""
