"""scikit-learn's 1,797 handwritten digits: 8x8 pixels, 17 grey levels, inside the package."""

from __future__ import annotations

import torch

from reflowbench.errors import ReflowbenchError

SHAPE = (1, 8, 8)
LEVELS = 17


def load_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Read the digits.

    Returns:
        Grey levels 0 .. 16, int64 of shape (1797, 64), and class labels, int64 of shape (1797,).

    Raises:
        ReflowbenchError: If the installed scikit-learn lacks its data file.
    """
    from sklearn import datasets

    try:
        raw = datasets.load_digits()
    except OSError as error:
        raise ReflowbenchError(
            f"data.source = 'digits': scikit-learn's digits are missing ({error}); "
            "delete .venv and run `make install` to reinstall the locked requirements"
        ) from None
    return torch.from_numpy(raw.data).to(torch.int64), torch.from_numpy(raw.target).to(torch.int64)
