"""Between frames and boxes: glimpses out of a frame, sprites into it (section 3.6)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from silot_gym.model.config import ModelConfig
from silot_gym.model.networks import last_bias, mlp
from silot_gym.objects import Objects, bounded_sigmoid


def downsample(frame: Tensor, scale: int) -> Tensor:
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


def bilinear_weights(position: Tensor, size: Tensor, texels: int, pixels: int) -> Tensor:
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


class Renderer(nn.Module):
    """Objects to a frame: the decoder g(x | z) of the paper (section 3.6).

    Each object's sprite is stretched over its box. Where sprites overlap, their colours are
    mixed in proportion to opacity, depth and brightness, and their opacities add up to at most 1.
    Stretching is linear, so that rendering all objects is two matrix products.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = mlp(config.what_dim, config.decoder_dims, 4 * config.glimpse_size**2)
        with torch.no_grad():
            last_bias(self.decoder)[: 3 * config.glimpse_size**2] = config.initial_colour

    def sprites(self, what: Tensor) -> tuple[Tensor, Tensor]:
        """Appearances (..., A) to colours (..., 3, s, s) and opacities (..., 1, s, s)."""
        config, side = self.config, self.config.glimpse_size
        logits = self.decoder(what).float().unflatten(-1, (4, side, side))
        colour, alpha = logits[..., :3, :, :], logits[..., 3:, :, :]
        colour = bounded_sigmoid(config.colour_scale * colour)
        return colour, bounded_sigmoid(config.alpha_scale * alpha + config.alpha_bias)

    def forward(self, objects: Objects, height: int, width: int) -> Tensor:
        """Objects of B streams to frames (B, 3, height, width) in [0, 1] on black."""
        colour, alpha = self.sprites(objects.what)
        alpha = alpha * objects.presence[..., None, None, None]
        # Dark texels weigh little, so that the black corners of one opaque sprite don't hide the
        # object beside it. The brightest texel nearby counts: along an edge, all weigh the same.
        brightest = colour.amax(-3).flatten(0, 1)[:, None]  # (B * K, 1, s, s)
        bright = functional.max_pool2d(brightest, 3, 1, 1).view_as(alpha)
        depth = objects.depth[..., None, None, None]
        importance = alpha * depth * (bright + self.config.black_weight)
        layers = torch.cat([importance * colour, importance, alpha], -3)  # (B, K, 5, s, s)
        x, y = objects.position.unbind(-1)
        size_x, size_y = objects.size.unbind(-1)
        along_x = bilinear_weights(x, size_x, self.config.glimpse_size, width)  # (B, K, width, s)
        along_y = bilinear_weights(y, size_y, self.config.glimpse_size, height)  # (B, K, height, s)

        batch, count, channels, side, _ = layers.shape
        rows = layers.transpose(2, 3).reshape(batch * count, side * channels, side)
        rows = rows @ along_x.flatten(0, 1).mT  # (B * K, s * 5, width)
        rows = rows.view(batch, count * side, channels * width)
        canvas = along_y.transpose(1, 2).reshape(batch, height, count * side) @ rows
        canvas = canvas.view(batch, height, channels, width).transpose(1, 2).float()
        colour, importance, alpha = canvas[:, :3], canvas[:, 3:4], canvas[:, 4:]
        frame: Tensor = colour / (importance + 1e-6) * alpha.clamp(max=1)
        return frame
