"""reflowbench: how self-trained flow models collapse, and what prevents it."""

__version__ = "0.1.0"
