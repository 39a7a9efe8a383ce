"""A linear denoising autoencoder that is trained on its own outputs."""
