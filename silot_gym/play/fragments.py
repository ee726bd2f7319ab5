"""Parts of tracked objects that discovery takes for objects of their own: a boxer's arm."""

import torch
from torch import Tensor


def touches(discovered: Tensor, tracked: Tensor, whole: Tensor, reach: float, share: float) -> Tensor:
    """Which discovered boxes touch a tracked one that is much larger.

    Args:
        discovered: (B, C, 4).
        tracked: (B, K, 4).
        whole: (B, K) bool, which tracked objects count.
        reach: the largest distance between boxes, along both axes, that counts as touching.
        share: of the tracked box's area, below which a discovered one is much smaller.

    Returns:
        (B, C) bool.
    """
    begin, end = discovered[..., :2], discovered[..., 2:]
    left = torch.maximum(begin[:, :, None], tracked[:, None, :, :2])
    right = torch.minimum(end[:, :, None], tracked[:, None, :, 2:])
    near = (left - right <= reach).all(-1)  # (B, C, K)
    small = area(discovered)[..., None] < share * area(tracked)[:, None]
    return (near & small & whole[:, None]).any(-1)


def area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
