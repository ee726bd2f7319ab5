"""Which arithmetic is fast on a device."""

from typing import Literal

import torch


def best_precision(device: str) -> Literal["bf16-mixed", "32-true"]:
    """bf16 where the device multiplies matrices in it natively, float32 elsewhere."""
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return "bf16-mixed" if native else "32-true"
