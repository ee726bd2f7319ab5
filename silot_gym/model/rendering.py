"""Between frames and boxes: glimpses out of a frame, sprites into it (section 3.6)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from silot_gym.model.config import ModelConfig
from silot_gym.model.graphs import graphed
from silot_gym.model.networks import last_bias, mlp
from silot_gym.objects import Objects

_COLOUR_SCALE = 2.0
_ALPHA_SCALE, _ALPHA_BIAS = 0.1, 5.0
"""The paper's for Atari: sprites are opaque rectangles, and stay so."""
_DARK = -1.5
"""What sprites start from: of brightness .05, so that they hide little before they are learned."""
_PART = 0.35
"""What is beyond a gap belongs to the object if it has at least so many of the pixels that its
largest part has: stripes do, a dot beside a ghost does not."""
_FAINT = 0.01
"""How much what is black hides, in comparison with what is white."""


def shrunk(frame: Tensor, scale: int) -> Tensor:
    """A frame (..., height, width) whose pixels are the means of `scale` x `scale`.

    What lies outside is black.
    """
    if scale == 1:
        return frame
    height, width = frame.shape[-2:]
    padded = functional.pad(frame, (0, -width % scale, 0, -height % scale))
    return functional.avg_pool2d(padded, scale)


def is_drawn(frame: Tensor) -> Tensor:
    """Where frames (B, 3, height, width) show something: (B, height, width) bool."""
    return frame.amax(1) > 0


def extract_glimpses(frame: Tensor, position: Tensor, size: Tensor, texels: int) -> Tensor:
    """What is in N boxes of each frame, by bilinear sampling; black outside the frame.

    Args:
        frame: (B, 3, height, width).
        position: (B, N, 2) centres (x, y) in pixels.
        size: (B, N, 2) widths and heights in pixels.
        texels: side of the glimpses.

    Returns:
        (B, N, 3 * texels * texels)
    """
    batch, count = position.shape[:2]
    offset = (torch.arange(texels, device=frame.device) + 0.5) / texels - 0.5

    def along(axis: int, pixels: int) -> Tensor:  # (B, N, texels)
        centre, side = (value[..., axis, None] for value in (position, size))
        return 2 * centre / pixels - 1 + 2 * side / pixels * offset

    x, y = along(0, frame.shape[-1]), along(1, frame.shape[-2])
    shape = (batch, count, texels, texels)
    grid = torch.stack([x[:, :, None].expand(shape), y[..., None].expand(shape)], -1)
    grid = grid.view(batch, count * texels, texels, 2)
    glimpses = functional.grid_sample(frame, grid, padding_mode="zeros", align_corners=False)
    glimpses = glimpses.view(batch, 3, count, texels * texels)
    return glimpses.transpose(1, 2).flatten(2)


def hat_weights(position: Tensor, size: Tensor, texels: int, pixels: int) -> Tensor:
    """How much each texel of a sprite adds to each pixel along one axis (bilinear).

    Args:
        position: (..., ) centres of the sprites in pixels.
        size: (..., ) their extents in pixels.
        texels: side of the sprites.
        pixels: side of the frame.

    Returns:
        (..., pixels, texels) in [0, 1]; rows sum to 1 inside the sprite, and fall to 0 within a
        texel outside of it.
    """
    pixel = torch.arange(pixels, device=position.device) + 0.5
    corner = (position - size / 2)[..., None]
    texel = (pixel - corner) * (texels / size)[..., None] - 0.5  # (..., pixels)
    return (1 - (texel[..., None] - torch.arange(texels, device=texel.device)).abs()).relu()


def covered(centre: Tensor, half: Tensor, pixels: int) -> Tensor:
    """Which pixels along an axis have their middle within `half` (...) of `centre` (...).

    Returns:
        (..., pixels), 1 or 0: from a comparison in place, which on the CPU takes a tenth of the
        time of one that makes bools.
    """
    middle = torch.arange(pixels, device=centre.device) + 0.5
    return (middle - centre[..., None]).abs_().le_(half[..., None])


def drawn_boxes(boxes: Tensor, drawn: Tensor) -> Tensor:
    """The smallest boxes around what is drawn in the pixels that boxes touch.

    A sprite is opaque, so that a box that is too large costs its object nothing where there is
    nothing beside it; only the prior of the size makes boxes tight, and a strong one cuts large
    objects into pieces. Here the prior may be weak: background is no part of an object, nor is a
    little thing beyond a gap (a ghost's box may reach to the dots beside it).

    Args:
        boxes: (B, N, 4) boxes (x0, y0, x1, y1) in pixels.
        drawn: (B, height, width) bool, where there is no background.

    Returns:
        (B, N, 4) boxes along the edges of pixels; as they were where they touch nothing.
    """
    height, width = drawn.shape[1:]
    extent = boxes.new_tensor([width, height])
    finite = boxes.nan_to_num()  # a model that has broken down is for others to report
    first = finite[..., :2].floor().clamp(min=0).minimum(extent)  # (B, N, 2): x, y
    count = finite[..., 2:].ceil().minimum(extent) - first
    longest = max(1, int(count.max())) if count.numel() else 1
    offset = torch.arange(float(longest), device=boxes.device)
    return _around_drawn(boxes, drawn.view(torch.uint8), first, count, offset)


@graphed
def _around_drawn(
    boxes: Tensor, drawn: Tensor, first: Tensor, count: Tensor, offset: Tensor
) -> Tensor:
    """See `drawn_boxes`.

    Args:
        boxes: (B, N, 4).
        drawn: (B, height, width) uint8, 1 where something is drawn.
        first: (B, N, 2), column and row of the first pixels that boxes touch.
        count: (B, N, 2), how many columns and rows they touch.
        offset: 0, 1, ... up to the largest of these numbers.
    """
    shown = drawn.float()
    x, y = (first + count / 2).unbind(-1)
    half_x, half_y = (count / 2).unbind(-1)
    per_column = covered(y, half_y, drawn.shape[-2]) @ shown
    per_row = covered(x, half_x, drawn.shape[-1]) @ shown.mT

    def near(counts: Tensor, begin: Tensor) -> Tensor:
        pixel = (begin[..., None] + offset).clamp(max=counts.shape[-1] - 1)
        return counts.gather(-1, pixel.long())

    counts = torch.stack([near(per_column, first[..., 0]), near(per_row, first[..., 1])], -2)
    belongs = _large_parts(counts * (offset < count[..., None]))  # (B, N, 2, s)
    begin = first + torch.where(belongs, offset, offset.shape[0]).amin(-1)
    end = first + torch.where(belongs, offset + 1, 0).amax(-1)
    return torch.cat([begin, end], -1).where(belongs.any(-1).all(-1, keepdim=True), boxes)


def _large_parts(counts: Tensor) -> Tensor:
    """Which rows or columns (..., s) are an object's, by how many of their pixels are drawn."""
    drawn = counts > 0
    begins = drawn & ~functional.pad(drawn, (1, 0))[..., :-1]
    part = drawn * begins.cumsum(-1)  # 1, 2, ... in the parts, 0 between them
    pixels = torch.zeros_like(functional.pad(counts, (1, 0))).scatter_add(-1, part, counts)
    large = pixels >= _PART * pixels.amax(-1, keepdim=True)
    return drawn & large.gather(-1, part)


class Renderer(nn.Module):
    """Objects to a frame: the decoder g(x | z) of the paper (section 3.6).

    Each object's sprite is stretched over its box. Where sprites overlap, their colours are
    mixed in proportion to opacity, depth and brightness, and their opacities add up to at most 1.
    Stretching is linear, so that rendering all objects is two matrix products.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.glimpse_size = config.glimpse_size
        self.decoder = mlp(config.what_dim, config.decoder_dims, 4 * config.glimpse_size**2)
        with torch.no_grad():
            last_bias(self.decoder)[: 3 * config.glimpse_size**2] = _DARK

    def sprites(self, what: Tensor) -> tuple[Tensor, Tensor]:
        """Appearances (..., A) to colours (..., 3, s, s) and opacities (..., 1, s, s)."""
        logits = self.decoder(what).float()
        logits = logits.unflatten(-1, (4, self.glimpse_size, self.glimpse_size))
        colour = (_COLOUR_SCALE * logits[..., :3, :, :]).clamp(-10, 10).sigmoid()
        alpha = (_ALPHA_SCALE * logits[..., 3:, :, :] + _ALPHA_BIAS).clamp(-10, 10).sigmoid()
        return colour, alpha

    def forward(self, objects: Objects, height: int, width: int) -> Tensor:
        """Objects of B streams to frames (B, 3, height, width) in [0, 1] on black."""
        colour, alpha = self.sprites(objects.what)
        alpha = alpha * objects.presence[..., None, None, None]
        # What is dark hides little, or the opaque rectangle that a sprite is would cover what is
        # beside it. The brightest texel nearby counts: within an edge, all texels weigh the same.
        bright = functional.max_pool2d(colour.amax(-3).flatten(0, 1), 3, 1, 1).view_as(alpha)
        importance = alpha * objects.depth[..., None, None, None] * (bright + _FAINT)
        layers = torch.cat([importance * colour, importance, alpha], -3)  # (B, K, 5, s, s)
        x, y = objects.position.unbind(-1)
        size_x, size_y = objects.size.unbind(-1)
        along_x = hat_weights(x, size_x, self.glimpse_size, width)  # (B, K, width, s)
        along_y = hat_weights(y, size_y, self.glimpse_size, height)  # (B, K, height, s)

        batch, count, channels, side, _ = layers.shape
        rows = layers.transpose(2, 3).reshape(batch * count, side * channels, side)
        rows = rows @ along_x.flatten(0, 1).mT  # (B * K, s * 5, width)
        rows = rows.view(batch, count * side, channels * width)
        canvas = along_y.transpose(1, 2).reshape(batch, height, count * side) @ rows
        canvas = canvas.view(batch, height, channels, width).transpose(1, 2).float()
        colour, importance, alpha = canvas[:, :3], canvas[:, 3:4], canvas[:, 4:]
        frame: Tensor = colour / (importance + 1e-6) * alpha.clamp(max=1)
        return frame
