"""Where to run."""

import torch


def check_device(device: str | torch.device) -> None:
    """Refuse a device that there is not.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f"expected the device 'cpu' or 'cuda', got {device!r}") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"expected a CUDA device for '{device}', found none: use 'cpu'")
