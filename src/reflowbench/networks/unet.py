"""U-Net with residual blocks and self-attention: the velocity network of the paper's scale.

The network of DDPM (Ho et al. 2020, arXiv 2006.11239, appendix B) as Dhariwal and Nichol (2021, arXiv 2105.05233,
section 3) widened it; flow matching and rectified flow use it on CIFAR-10. With 128 channels, multipliers 1-2-2-2, two
blocks and attention at 16x16 it has 35.7M parameters.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from reflowbench.errors import ReflowbenchError
from reflowbench.networks.base import ImageNetwork, Shape, largest_divisor, time_features
from reflowbench.runtime.params import UNetParams

_GROUPS, _GROUP_CHANNELS = 32, 4
"""Groups of a normalization, and the fewest channels of one: narrow networks have fewer groups."""
_TIME_WIDTH = 4
"""Width of the time embedding, in channels of the first level."""


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(largest_divisor(channels, min(_GROUPS, channels // _GROUP_CHANNELS)), channels)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that gives 0 at first, so that its block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """skip(x) + conv(dropout(silu(norm(conv(silu(norm(x))) + linear(silu(e(t)))))))."""

    def __init__(self, channels: int, out: int, time_width: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = _norm(channels)
        self.first = nn.Conv2d(channels, out, 3, padding=1)
        self.time = nn.Linear(time_width, out)
        self.second_norm = _norm(out)
        self.dropout = nn.Dropout(dropout)
        self.second = _zero(nn.Conv2d(out, out, 3, padding=1))
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Map (n, channels, h, w) and the activated embedding, (n or 1, time_width), to (n, out, h, w)."""
        hidden = self.first(functional.silu(self.first_norm(x)))
        hidden = hidden + self.time(embedding)[:, :, None, None]
        hidden = self.second(self.dropout(functional.silu(self.second_norm(hidden))))
        total: torch.Tensor = self.skip(x) + hidden
        return total


class Attention(nn.Module):
    """Self-attention of all positions of an image, added to it."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self._heads = largest_divisor(channels, channels // head_channels)
        self.norm = _norm(channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.output = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, channels, h, w) to the same shape."""
        n, channels, height, width = x.shape
        # (n, heads, positions, channels of a head) of queries, keys and values.
        split = self.project(self.norm(x)).reshape(n, 3, self._heads, channels // self._heads, height * width)
        # Contiguous, or torch attends by a slower way that keeps all weights.
        query, key, value = split.transpose(3, 4).contiguous().unbind(dim=1)
        seen = functional.scaled_dot_product_attention(query, key, value)
        total: torch.Tensor = x + self.output(seen.transpose(2, 3).reshape(n, channels, height, width))
        return total


class Layers(nn.Module):
    """A residual block, and self-attention if there is any at this height."""

    def __init__(self, channels: int, out: int, time_width: int, params: UNetParams, attends: bool) -> None:
        super().__init__()
        self.residual = ResidualBlock(channels, out, time_width, params.dropout)
        self.attention = Attention(out, params.head_channels) if attends else nn.Identity()

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Map (n, channels, h, w) and the embedding to (n, out, h, w)."""
        value: torch.Tensor = self.attention(self.residual(x, embedding))
        return value


class UNet(ImageNetwork):
    """Levels of falling resolution and back, each joined to its counterpart.

    A level halves height and width by a convolution of stride 2, rounding up; on the way back images are enlarged to
    the size of their counterpart. So any size will do: 28 -> 14 -> 7 as well as 32 -> 16 -> 8 -> 4.

    The first level may have one pixel for each square of `patch` x `patch`, with the pixels of the square as its
    channels: on a CPU the levels of full size take most of the time.
    """

    def __init__(self, shape: Shape, params: UNetParams) -> None:
        """Build the network; it starts as the zero field.

        Args:
            shape: (channels, height, width) of the images.
            params: How large it is.

        Raises:
            ReflowbenchError: If images are not made of whole patches, or no level has a height that `attention` names.
        """
        side = self._patch = params.patch
        if shape[1] % side or shape[2] % side:
            raise ReflowbenchError(
                f"network.patch = {side}: images of {shape[1]}x{shape[2]} are not made of squares of {side}x{side}"
            )
        values, sizes = shape[0] * side**2, [(shape[1] // side, shape[2] // side)]
        for _ in params.multipliers[1:]:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        heights = [height for height, _ in sizes]
        if missing := set(params.attention) - set(heights):
            raise ReflowbenchError(
                f"network.attention = {params.attention}: no level has height {min(missing)}; with images of "
                f"{shape[1]}x{shape[2]}, patch {side} and {len(heights)} multipliers they have "
                f"{', '.join(map(str, heights))}"
            )
        super().__init__(shape, _values(params, sizes), params.channels_last)
        width, first = _TIME_WIDTH * params.channels, params.channels
        self._features = 2 * -(-first // 2)
        self.embed = nn.Sequential(nn.Linear(self._features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.input = nn.Conv2d(values, first, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.enlarge = nn.ModuleList(), nn.ModuleList()
        skips, channels = [first], first
        for level, (multiplier, height) in enumerate(zip(params.multipliers, heights, strict=True)):
            if level:
                self.shrink.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
            blocks = nn.ModuleList()
            for _ in range(params.blocks):
                blocks.append(Layers(channels, multiplier * first, width, params, height in params.attention))
                channels = multiplier * first
                skips.append(channels)
            self.down.append(blocks)
        self.middle = nn.ModuleList(Layers(channels, channels, width, params, attends) for attends in (True, False))
        for level in reversed(range(len(heights))):
            blocks, attends = nn.ModuleList(), heights[level] in params.attention
            for _ in range(params.blocks + 1):
                out = params.multipliers[level] * first
                blocks.append(Layers(channels + skips.pop(), out, width, params, attends))
                channels = out
            self.up.append(blocks)
            if level:
                self.enlarge.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.output = nn.Sequential(_norm(channels), nn.SiLU(), _zero(nn.Conv2d(channels, values, 3, padding=1)))
        self.to(memory_format=self._layout)
        if params.compile:
            self.compile()

    def velocity(self, images: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """See `ImageNetwork.velocity`."""
        embedding = self.embed(time_features(t, self._features))
        patches = functional.pixel_unshuffle(images, self._patch).contiguous(memory_format=self._layout)
        x = self.input(patches)
        skips = [x]
        for level, blocks in enumerate(self.down):
            if level:
                x = self.shrink[level - 1](x)
                skips.append(x)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, embedding)
                skips.append(x)
        for block in self.middle:
            x = block(x, embedding)
        for level, blocks in enumerate(self.up):
            if level:
                x = self.enlarge[level - 1](functional.interpolate(x, size=skips[-1].shape[2:]))
            for block in blocks:  # type: ignore[attr-defined]
                x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        velocity: torch.Tensor = functional.pixel_shuffle(self.output(x), self._patch)
        return velocity


def _values(params: UNetParams, sizes: list[tuple[int, int]]) -> int:
    """Numbers held at a time for one image, at most: all that is kept for the way back, and a block's own work.

    A block of the way back holds its input twice (as it came, and normalized), and three results.

    Returns:
        Their number.
    """
    channels = [multiplier * params.channels for multiplier in params.multipliers]
    levels = [c * height * width for c, (height, width) in zip(channels, sizes, strict=True)]
    return sum((params.blocks + 1) * level for level in levels) + 7 * max(levels)
