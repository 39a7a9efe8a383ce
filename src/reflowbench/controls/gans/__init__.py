"""GANs that lose modes, remedies, and Reflow beside them, on mixtures whose modes are known."""
