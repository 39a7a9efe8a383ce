"""A small autoencoder of diffusers with random weights, saved to a folder."""

from pathlib import Path

import torch


def save_autoencoder(folder: Path) -> Path:
    """Halves each side; 4 channels of latents of 3 channels of images."""
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            latent_channels=4,
            layers_per_block=1,
        )
    network.save_pretrained(str(folder), safe_serialization=True)
    return folder
