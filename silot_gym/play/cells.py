"""Which cells are worth looking at, and their features alone."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from silot_gym.model.discovery import Discovery
from silot_gym.model.networks import CELL_SIZE, MARGIN, RECEPTIVE_FIELD
from silot_gym.play.foreground import span_mask

_REACH = 2
"""How far, in cells, the fused features of a cell look: two convolutions of 3 x 3."""


def covered(boxes: Tensor, counted: Tensor, margin: float, height: int, width: int) -> Tensor:
    """By how many boxes each pixel is covered.

    Args:
        boxes: (B, N, 4) in pixels.
        counted: (B, N) bool, which of them count.
        margin: pixels by which boxes are enlarged on each side.
        height: of the frame.
        width: likewise.

    Returns:
        (B, height, width) float32.
    """
    begin, end = boxes[..., :2], boxes[..., 2:]
    x, y = ((begin + end) / 2).unbind(-1)
    half_x, half_y = ((end - begin) / 2 + margin).unbind(-1)
    rows = counted.float()[..., None] * span_mask(y, half_y, height)
    return rows.mT @ span_mask(x, half_x, width)


def lit_corners(brightness: Tensor, cell_size: int) -> Tensor:
    """Corners of cells near pixels that are not black.

    A cell's object may have its centre half a cell outside of it, so that each of the four cells
    around a corner may own what is near it.

    Args:
        brightness: (B, height, width) in [0, 1].
        cell_size: in pixels.

    Returns:
        (B, rows + 1, columns + 1) bool.
    """
    lit = (brightness > 0).byte()
    height, width = lit.shape[-2:]
    before = cell_size // 2
    right, below = (before + cell_size - 1 - (side - 1) % cell_size for side in (width, height))
    lit = functional.pad(lit, (before, right, before, below))
    rows, columns = lit.shape[1] // cell_size, lit.shape[2] // cell_size
    # Whole rows first, and as bytes: several times as fast as `any`.
    lit = lit.view(-1, rows, cell_size, columns * cell_size).amax(2)
    return lit.view(-1, rows, columns, cell_size).amax(-1).bool()


def features_near(discovery: Discovery, image: Tensor, corners: Tensor) -> Tensor:
    """`Discovery.features` of the four cells around each corner only, with no top-down attention.

    Args:
        discovery: its networks.
        image: (B, 3, height, width).
        corners: (B, rows + 1, columns + 1) bool.

    Returns:
        (B, C, F), 0 for all other cells.
    """
    rows, columns = (side - 1 for side in corners.shape[1:])
    stream, row, column = corners.nonzero(as_tuple=True)  # (N,) each
    beyond = _REACH + 1  # cells: the first corner's first cell is outside of the frame
    cells = 2 + 2 * _REACH
    side = RECEPTIVE_FIELD + (cells - 1) * CELL_SIZE
    near = image.new_zeros(len(stream), side, side, 3).movedim(-1, 1)  # (N, 3, side, side)
    places = torch.stack([row, column], -1).sub(beyond).mul(CELL_SIZE).sub(MARGIN)
    for square, of, place in zip(near, stream.tolist(), places.tolist(), strict=True):
        _cut(image[of], place, square)
    step = torch.arange(cells, device=image.device) - beyond
    y, x = (row[:, None] + step)[:, :, None], (column[:, None] + step)[:, None]
    # Beyond the frame, all features are zero.
    inside = ((y >= 0) & (y < rows) & (x >= 0) & (x < columns))[:, None]  # (N, 1, cells, cells)
    bottom_up = discovery.backbone(near) * inside  # (N, F, cells, cells)
    first, rectify, second = discovery.fuse
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
    # The first convolution's other half would see top-down attention.
    own = first.weight[:, : bottom_up.shape[1]]
    fused = rectify(functional.conv2d(bottom_up, own, first.bias)) * inside[..., 1:-1, 1:-1]
    fused = functional.conv2d(fused, second.weight, second.bias)  # (N, F, 2, 2)
    features = fused.new_zeros(len(image), rows + 2, columns + 2, fused.shape[1])
    for down in (0, 1):
        for right in (0, 1):
            features[stream, row + down, column + right] = fused[..., down, right]
    return features[:, 1:-1, 1:-1].flatten(1, 2)


def _cut(image: Tensor, corner: list[int], square: Tensor) -> None:
    """Fill a square (C, side, side) with an image (C, height, width) from a corner (y, x) on.

    What lies outside of the image stays as it is. (Padding the image would be simpler, but costs a
    twentieth of a step, as neighbourhoods reach far beyond it.)
    """
    y, x = corner
    side = square.shape[-1]
    part = image[:, max(y, 0) : y + side, max(x, 0) : x + side]
    top, left = max(-y, 0), max(-x, 0)
    square[:, top : top + part.shape[1], left : left + part.shape[2]] = part
