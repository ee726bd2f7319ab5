"""Features of a set of slots that don't depend on which row an object is in."""

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn


class SlotExtractor(BaseFeaturesExtractor):
    """The same small network on each slot, then the maximum and the mean over the slots.

    Takes observations (B, K, D) of `SILOTObjectWrapper` whose first column is the presence.
    """

    def __init__(self, observation_space: gym.spaces.Box, width: int = 64) -> None:
        super().__init__(observation_space, features_dim=2 * width)
        self.each = nn.Sequential(
            nn.Linear(observation_space.shape[-1], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )

    def forward(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) to features (B, 2 * width)."""
        features = self.each(slots) * slots[..., :1]  # empty slots add nothing
        return torch.cat([features.amax(1), features.mean(1)], -1)
