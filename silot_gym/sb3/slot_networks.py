"""Networks that read slots as a set: which row an object is in makes no difference to them."""

from gymnasium.spaces import Box
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, cat, nn, randn

__all__ = ["DeepSetExtractor", "SlotAttentionExtractor"]


class DeepSetExtractor(BaseFeaturesExtractor):
    """The same small network on each slot, then the maximum and the mean over the slots.

    Cheap, and enough where objects matter one by one. Each slot's features are formed without
    regard to the others, so relations between objects are left to the layers that follow.

    Takes observations (B, K, D) of `SILOTVecWrapper` whose first column is the presence.
    """

    def __init__(self, observation_space: Box, width: int = 128) -> None:
        """Makes the network; the features are (B, 2 * width)."""
        super().__init__(observation_space, features_dim=2 * width)
        self.each = nn.Sequential(
            nn.Linear(observation_space.shape[-1], width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )

    def forward(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) to features (B, 2 * width)."""
        features = self.each(slots) * (slots[..., :1] > 0)  # empty slots add nothing
        return cat([features.amax(1), features.mean(1)], -1)


class SlotAttentionExtractor(BaseFeaturesExtractor):
    """Attention among the slots that hold objects, read out at a token of its own.

    For scenes of many objects of one type, where relations count and a vector with a row for each
    object would be long.

    Takes observations (B, K, D) of `SILOTVecWrapper` whose first column is the presence.
    """

    def __init__(self, observation_space: Box, width: int = 64, heads: int = 4) -> None:
        """Makes the network; the features are (B, width)."""
        super().__init__(observation_space, features_dim=width)
        self.embed = nn.Linear(observation_space.shape[-1], width)
        # Small, as is usual; zeros would leave the weights of attention without a gradient.
        self.query = nn.Parameter(0.02 * randn(width))
        self.layer = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=2 * width, dropout=0.0, batch_first=True, norm_first=True
        )

    def forward(self, slots: Tensor) -> Tensor:
        """Slots (B, K, D) to features (B, width)."""
        query = self.query.expand(len(slots), 1, -1)
        tokens = cat([query, self.embed(slots)], 1)
        empty = cat([slots.new_zeros(len(slots), 1), slots[..., 0] == 0], 1).bool()
        features: Tensor = self.layer(tokens, src_key_padding_mask=empty)[:, 0]
        return features
