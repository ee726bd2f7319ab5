"""Discovery: what is in the frame that no tracked object accounts for (section 3.3)."""

import math

import torch
from torch import Tensor, nn

from silot_gym.model.attention import CellAttention
from silot_gym.model.config import ModelConfig
from silot_gym.model.latents import Latents, bounded_std, draw_normal, draw_presence
from silot_gym.model.networks import CELL_SIZE, Backbone, cell_corners, grid_size, last_bias, mlp
from silot_gym.model.propagation import HELD_PRESENCE, describe, start_certain
from silot_gym.model.rendering import extract_glimpses
from silot_gym.objects import Objects, squash

_OFFSET_MIN, _OFFSET_MAX = -0.5, 1.5
"""How far an object's centre may lie from its cell's corner, in cells (b_min, b_max)."""


class Discovery(nn.Module):
    """One object for each cell of the frame."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        features, what = config.feature_dim, config.what_dim
        object_dim = what + 4 + config.hidden_dim
        self.backbone = Backbone(config.backbone_channels, features)
        self.attention = CellAttention(
            object_dim, features, config.attention_std, config.anchor_size
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * features, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
        )
        self.encoder = mlp(3 * config.glimpse_size**2, config.encoder_dims, features)
        self.where_head = mlp(features, config.head_dims, 8)
        self.what_head = mlp(2 * features + 4, config.head_dims, 2 * what)
        self.depth_head = mlp(2 * features + 4 + what, config.head_dims, 2)
        self.presence_head = mlp(2 * features + 5 + what, config.head_dims, 1)
        self.initial_hidden = nn.Parameter(torch.zeros(config.hidden_dim))
        for head in (self.where_head, self.what_head):
            start_certain(head, config.initial_std)
        start_size = config.initial_size / config.anchor_size
        with torch.no_grad():
            last_bias(self.where_head)[2:4] = math.log(start_size / (1 - start_size))

    def forward(
        self, frame: Tensor, propagated: Objects, presence_held: bool = False
    ) -> tuple[Objects, Latents]:
        """The objects (B, C) discovered in a frame (B, 3, height, width), cells row by row."""
        rows, columns = grid_size(frame)
        bottom_up = self.backbone(frame)
        top_down = self.attention(propagated, describe(propagated), rows, columns)
        top_down = top_down.mT.unflatten(-1, (rows, columns))
        fused = self.fuse(torch.cat([bottom_up, top_down], 1)).flatten(2).mT  # (B, C, features)

        where = self.where_head(fused).float()
        where_mean, where_std = where[..., :4], bounded_std(where[..., 4:])
        where = draw_normal(where_mean, where_std, self.training)
        offset = _OFFSET_MIN + (_OFFSET_MAX - _OFFSET_MIN) * squash(where[..., :2])
        size = squash(where[..., 2:])
        corner = cell_corners(rows, columns, frame.device)
        position = corner + CELL_SIZE * offset

        glimpses = extract_glimpses(
            frame, position, size * self.config.anchor_size, self.config.glimpse_size
        )
        seen = torch.cat([fused, self.encoder(glimpses), offset, size], -1)

        what_mean, what_std = self.what_head(seen).float().chunk(2, -1)
        what_std = bounded_std(what_std)
        what = draw_normal(what_mean, what_std, self.training)

        depth_mean, depth_std = self.depth_head(torch.cat([seen, what], -1)).float().chunk(2, -1)
        depth_std = bounded_std(depth_std)
        depth = draw_normal(depth_mean, depth_std, self.training)

        presence_logit = self.presence_head(torch.cat([seen, what, squash(depth)], -1)).float()
        presence_logit = presence_logit.squeeze(-1).clamp(-10, 10)
        if presence_held:
            presence_logit = torch.full_like(presence_logit, HELD_PRESENCE)
        presence = draw_presence(presence_logit, self.config.presence_temperature, self.training)

        objects = Objects(
            position=position,
            size_logit=where[..., 2:],
            what=what,
            depth_logit=depth.squeeze(-1),
            presence=presence,
            hidden=self.initial_hidden.expand(*what.shape[:2], -1),
            track_id=torch.full(what.shape[:2], -1, device=frame.device),
        )
        latents = Latents(
            mean=torch.cat([where_mean, what_mean, depth_mean], -1),
            std=torch.cat([where_std, what_std, depth_std], -1),
            presence_logit=presence_logit,
        )
        return objects, latents
