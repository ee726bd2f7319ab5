"""Parts of tracked objects that discovery takes for objects of their own: a boxer's arm."""

import torch
from torch import Tensor


def is_fragment(
    discovered: Tensor, tracked: Tensor, overlap: float, size: float, reach: float
) -> Tensor:
    """Which discovered boxes are around a part of what a tracked box is around.

    Args:
        discovered: (B, C, 4) boxes (x0, y0, x1, y1).
        tracked: (B, K, 4).
        overlap: a discovered box is a fragment if more than this share of its area lies on the
            tracked one,
        size: or if its area is less than this share of the tracked one's, and the two touch:
        reach: along both axes they are no farther apart than this.

    Returns:
        (B, C, K) bool.
    """
    begin, end = discovered[:, :, None, :2], discovered[:, :, None, 2:]
    other_begin, other_end = tracked[:, None, :, :2], tracked[:, None, :, 2:]
    shared = torch.minimum(end, other_end) - torch.maximum(begin, other_begin)  # (B, C, K, 2)
    area, other_area = (end - begin).prod(-1), (other_end - other_begin).prod(-1)
    inside = shared.clamp(min=0).prod(-1) > overlap * area
    return inside | ((shared >= -reach).all(-1) & (area < size * other_area))
