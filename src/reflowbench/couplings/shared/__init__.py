"""What couplings share: their interface, the registry, and pairs that several methods use."""
