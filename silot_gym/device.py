"""Where to run."""

import torch


def check_device(device: str | torch.device) -> None:
    """Refuse a device that there is not.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        wanted = None
    if wanted is None or wanted.type not in ("cpu", "cuda"):
        raise ValueError(f"expected the device 'cpu' or 'cuda', got '{device}'")
    if wanted.type == "cpu":
        return
    if not torch.cuda.is_available():
        raise ValueError(f"expected a CUDA device for '{device}', found none: use 'cpu'")
    if (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"expected one of {torch.cuda.device_count()} GPUs, got '{device}'")
