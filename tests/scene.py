"""A small untrained model, frames to show it, and objects to track, for tests of model and play."""

from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.model import SILOT, ModelConfig
from silot_gym.objects import Objects
from tests.tiny import TINY


def small_model(config: ModelConfig = TINY) -> SILOT:
    torch.manual_seed(0)
    return SILOT(config).eval()


def blobs(*places: tuple[int, int], height: int = 60, width: int = 72) -> Tensor:
    """A black frame with a textured square of 8 pixels at each place (x, y)."""
    torch.manual_seed(1)
    square = torch.rand(3, 8, 8)
    frame = torch.zeros(1, 3, height, width)
    for x, y in places:
        frame[0, :, y : y + 8, x : x + 8] = square
    return frame


def tracked(model: SILOT, frame: Tensor, slots: int = 6) -> Objects:
    """Objects in the middle of the frame, all present."""
    objects = model.empty_objects(1, slots)
    torch.manual_seed(2)
    return replace(
        objects,
        position=20 + 30 * torch.rand(1, slots, 2),
        what=torch.randn(1, slots, model.config.what_dim),
        presence=torch.linspace(0.5, 1, slots)[None],
        hidden=torch.randn(1, slots, model.config.hidden_dim),
        track_id=torch.arange(slots)[None],
    )
