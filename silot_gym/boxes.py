"""The one box convention: (x0, y0, x1, y1) in pixels, edges, so that x1 = x0 + width."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["clip_boxes"]


def clip_boxes(boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The part of boxes (..., 4) that lies in a frame.

    A box outside of the frame becomes one without area on the frame's nearest edge.
    """
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
