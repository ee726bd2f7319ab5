"""Boxes fitted to the foreground: what is not background inside an object's box is the object."""

import torch
from torch import Tensor
from torch.nn import functional


def span_mask(centre: Tensor, half: Tensor, pixels: int) -> Tensor:
    """Which pixels along an axis have their middle within `half` (...) of `centre` (...).

    Returns:
        (..., pixels), 1 or 0: from a comparison in place, which on the CPU takes a tenth of the
        time of one that makes bools.
    """
    middle = torch.arange(pixels, device=centre.device) + 0.5
    return (middle - centre[..., None]).abs_().le_(half[..., None])


def touched_pixels(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The first column and row of the pixels that boxes touch, and how many: (..., 2) each."""
    extent = boxes.new_tensor([width, height])
    finite = boxes.nan_to_num()  # a model that has broken down is for others to report
    first = finite[..., :2].floor().clamp(min=0).minimum(extent)
    return first, finite[..., 2:].ceil().minimum(extent) - first


def fit_boxes(
    boxes: Tensor,
    foreground: Tensor,
    first: Tensor,
    count: Tensor,
    offset: Tensor,
    part_share: float,
) -> Tensor:
    """The smallest boxes around the foreground in the pixels that boxes touch.

    A sprite is opaque, so that a box that is too large costs its object nothing where there is
    nothing beside it; only the prior of the size makes boxes tight, and a strong one cuts large
    objects into pieces. Here the prior may be weak: background is no part of an object, nor is a
    little thing beyond a gap (a ghost's box may reach to the dots beside it).

    Args:
        boxes: (B, N, 4) boxes (x0, y0, x1, y1) in pixels.
        foreground: (B, height, width) uint8, 1 or 0.
        first: (B, N, 2), column and row of the first pixels that boxes touch.
        count: (B, N, 2), how many columns and rows they touch; see `touched_pixels`.
        offset: (s,) 0, 1, ... up to the largest of these numbers.
        part_share: see `PlayConfig`.

    Returns:
        (B, N, 4) boxes along the edges of pixels; as they were where they touch no foreground.
    """
    shown = foreground.float()
    x, y = (first + count / 2).unbind(-1)
    half_x, half_y = (count / 2).unbind(-1)
    per_column = span_mask(y, half_y, foreground.shape[-2]) @ shown  # (B, N, width)
    per_row = span_mask(x, half_x, foreground.shape[-1]) @ shown.mT  # (B, N, height)

    def near(counts: Tensor, begin: Tensor) -> Tensor:  # (B, N, s)
        pixel = (begin[..., None] + offset).clamp(max=counts.shape[-1] - 1)
        return counts.gather(-1, pixel.long())

    counts = torch.stack([near(per_column, first[..., 0]), near(per_row, first[..., 1])], -2)
    belongs = _large_parts(counts * (offset < count[..., None]), part_share)  # (B, N, 2, s)
    begin = first + torch.where(belongs, offset, offset.shape[0]).amin(-1)
    end = first + torch.where(belongs, offset + 1, 0).amax(-1)
    return torch.cat([begin, end], -1).where(belongs.any(-1).all(-1, keepdim=True), boxes)


def _large_parts(counts: Tensor, part_share: float) -> Tensor:
    """Which rows or columns (..., s) are an object's, by how many of their pixels are foreground.

    A run of rows without a gap is a part; kept are those with at least `part_share` of the pixels
    of the largest part.
    """
    shown = counts > 0
    begins = shown & ~functional.pad(shown, (1, 0))[..., :-1]
    part = shown * begins.cumsum(-1)  # 1, 2, ... in the parts, 0 between them
    pixels = torch.zeros_like(functional.pad(counts, (1, 0))).scatter_add(-1, part, counts)
    large = pixels >= part_share * pixels.amax(-1, keepdim=True)
    return shown & large.gather(-1, part)
