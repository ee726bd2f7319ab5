"""Between frames and boxes: glimpses out of a frame, sprites into it (section 3.6)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from silot_gym.model.config import ModelConfig
from silot_gym.model.networks import last_bias, mlp
from silot_gym.objects import Objects

_COLOUR_SCALE = 2.0
_ALPHA_SCALE, _ALPHA_BIAS = 0.1, 5.0
"""The paper's for Atari: sprites are opaque rectangles, and stay so."""
_DARK = -1.5
"""What sprites start from: of brightness .05, so that they hide little before they are learned."""
_VISIBLE = 0.3
"""Brightness of a row or column of a sprite, as a share of its brightest texel's, up to which it is
a gap."""
_PART = 0.35
"""What is beyond a gap belongs to the object if it has at least so much of the light that its
brightest part has: stripes do, a dot beside a ghost does not."""
_EDGE = 3
"""Texels over which an edge is blurred, about."""
_FAINT = 0.01
"""How much what is black hides, in comparison with what is white."""
_BLACK = 0.02
"""Brightness up to which nothing is ever seen."""


def shrunk(frame: Tensor, scale: int) -> Tensor:
    """A frame (..., height, width) whose pixels are the means of `scale` x `scale`.

    What lies outside is black.
    """
    if scale == 1:
        return frame
    height, width = frame.shape[-2:]
    padded = functional.pad(frame, (0, -width % scale, 0, -height % scale))
    return functional.avg_pool2d(padded, scale)


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
    extent = torch.tensor(frame.shape[:-3:-1], device=frame.device)  # width, height
    centre = 2 * position / extent - 1
    span = 2 * size / extent
    x = centre[..., :1] + span[..., :1] * offset  # (B, N, texels)
    y = centre[..., 1:] + span[..., 1:] * offset
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


def visible_boxes(shown: Tensor, position: Tensor, size: Tensor) -> Tensor:
    """The smallest boxes around what can be seen of sprites.

    A sprite is opaque, so that a box that is too large costs its object nothing where there is
    nothing beside it; only the prior of the size makes boxes tight, and a strong one cuts large
    objects into pieces. Here the prior may be weak: what is black is not part of an object, nor is
    a little thing beyond a gap (a ghost's sprite may show the dots beside it). Sprites are blurred,
    and an edge is where one is half as bright as just inside of it.

    Args:
        shown: (B, N, s, s) brightness of the sprites' texels, in [0, 1].
        position: (B, N, 2) centres (x, y) of the sprites in pixels.
        size: (B, N, 2) their widths and heights in pixels.

    Returns:
        (B, N, 4) boxes (x0, y0, x1, y1) in pixels; a black sprite has its whole box.
    """
    least = (_VISIBLE * shown.amax((-1, -2))).clamp(min=_BLACK)
    profiles = torch.stack([shown.amax(-2), shown.amax(-1)], -2)  # (B, N, 2, s): across, down
    light = torch.stack([shown.sum(-2), shown.sum(-1)], -2)
    profiles = _parts(profiles, light, least[..., None, None])
    ends = torch.stack([_first_edge(profiles), 1 - _first_edge(profiles.flip(-1))], -2)
    corner = position - size / 2
    return (corner[..., None, :] + ends * size[..., None, :]).flatten(-2)


def _parts(profile: Tensor, light: Tensor, least: Tensor) -> Tensor:
    """Profiles (..., s) of what is an object's: 0 in gaps and where little is beyond them.

    Args:
        profile: (..., s) the brightest texel of each row or column.
        light: (..., s) the sum of its texels.
        least: (..., 1) what is brighter is no gap.
    """
    above = profile > least
    begins = above & ~functional.pad(above, (1, 0))[..., :-1]
    part = above * begins.cumsum(-1)  # 1, 2, ... in the parts, 0 between them
    weight = functional.pad(torch.zeros_like(light), (1, 0))
    weight = weight.scatter_add(-1, part, light * above)
    large = weight >= _PART * weight.amax(-1, keepdim=True)
    return profile * (above & large.gather(-1, part))


def _first_edge(profile: Tensor) -> Tensor:
    """Where profiles (..., s) first rise to half of what follows."""
    start = (profile > 0).int().argmax(-1, keepdim=True)
    inside = start + torch.arange(_EDGE, device=profile.device)
    plateau = profile.gather(-1, inside.clamp(max=profile.shape[-1] - 1)).amax(-1)
    return _first_visible(profile, (plateau / 2).clamp(min=_BLACK))


def _first_visible(profile: Tensor, least: Tensor) -> Tensor:
    """Where profiles (..., s), linear between texels' centres, first rise above `least` (...).

    In shares of the profile's length; 0 where they never do.
    """
    around = functional.pad(profile, (1, 0))  # whose centres are at -1/2, 1/2, 3/2, ...
    seen = around > least[..., None]
    inner = seen.int().argmax(-1, keepdim=True)
    outer = (inner - 1).clamp(min=0)
    below, above = around.gather(-1, outer)[..., 0], around.gather(-1, inner)[..., 0]
    rise = inner[..., 0] - 1.5 + (least - below) / (above - below).clamp(min=1e-6)
    return rise.clamp(min=0).where(seen.any(-1), 0) / profile.shape[-1]


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

    def boxes(self, objects: Objects) -> Tensor:
        """Boxes (B, K, 4) in pixels around what can be seen of objects; see `visible_boxes`."""
        colour, alpha = self.sprites(objects.what)
        return visible_boxes((colour * alpha).amax(-3), objects.position, objects.size)

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
