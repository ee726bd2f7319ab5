"""Discovery: what is in the frame that no tracked object accounts for (section 3.3)."""

import torch
from torch import Tensor, nn

from silot_gym.model.attention import CellAttention
from silot_gym.model.config import ModelConfig
from silot_gym.model.latents import (
    NOT_FROZEN,
    Frozen,
    Latents,
    bounded_std,
    draw_normal,
    draw_presence,
    side_by_side,
)
from silot_gym.model.networks import (
    CELL_SIZE,
    Backbone,
    cell_origins,
    grid_size,
    last_bias,
    mlp,
    with_margin,
)
from silot_gym.model.propagation import describe, description_dim, set_initial_std
from silot_gym.model.rendering import downsample, extract_glimpses
from silot_gym.objects import Objects, bounded_sigmoid


class Discovery(nn.Module):
    """One object for each cell of the frame, at each of several scales.

    At scale s the frame is shrunk s times, which makes cells and anchors s times as large. All
    scales have the same weights: a boxer is found as a bullet is, in a smaller picture.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        features, what, object_dim = config.feature_dim, config.what_dim, description_dim(config)
        self.backbone = Backbone(*config.backbone_channels, features)
        self.attention = CellAttention(
            object_dim, features, config.attention_std, max(config.anchor_size)
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
        self.anchor_size: Tensor
        self.register_buffer("anchor_size", torch.tensor(config.anchor_size), persistent=False)
        initial = (torch.tensor(config.initial_size) / self.anchor_size).logit()
        self.initial_size_logit: Tensor
        self.register_buffer("initial_size_logit", initial, persistent=False)
        for head in (self.where_head, self.what_head):
            set_initial_std(head, config.initial_std)
        with torch.no_grad():
            last_bias(self.where_head)[2:4] = self.initial_size_logit

    def forward(
        self, image: Tensor, propagated: Objects, frozen: Frozen = NOT_FROZEN
    ) -> tuple[Objects, Latents]:
        """The objects (B, C) discovered in an image (B, 3, height, width).

        Args:
            image: in [0, 1]; black is background.
            propagated: (B, N) the objects that are tracked.
            frozen: the decisions that are not left to the networks.

        Returns:
            One object for each cell, scale by scale, each row by row, and the distribution that it
            was drawn from.
        """
        found = []
        for scale in self.config.scales:
            picture = downsample(image, scale)
            rows, columns = grid_size(picture)
            top_down = self.top_down(propagated.rescaled(1 / scale), rows, columns)
            features = self.features(picture, top_down)
            origins = cell_origins(rows, columns, image.device)
            objects, latents = self.objects(picture, features, origins, frozen)
            found.append((objects.rescaled(scale), latents))
        return (
            Objects.concatenate([objects for objects, _ in found], 1),
            Latents.concatenate([latents for _, latents in found], 1),
        )

    def top_down(self, propagated: Objects, rows: int, columns: int) -> Tensor:
        """What is known of the tracked objects near each cell (v_td), (B, F, rows, columns)."""
        known = self.attention(propagated, describe(propagated), rows, columns)  # (B, C, F)
        top_down: Tensor = known.mT.unflatten(-1, (rows, columns))
        return top_down

    def features(self, image: Tensor, top_down: Tensor) -> Tensor:
        """What is seen in each cell, together with `top_down`: (B, C, F), row by row."""
        bottom_up = self.backbone(with_margin(image))  # (B, F, rows, columns), v_bu
        fused: Tensor = self.fuse(torch.cat([bottom_up, top_down], 1))  # (B, F, rows, columns)
        return fused.flatten(2).mT

    def objects(
        self, image: Tensor, features: Tensor, origins: Tensor, frozen: Frozen = NOT_FROZEN
    ) -> tuple[Objects, Latents]:
        """The objects of some cells.

        Args:
            image: (B, 3, height, width).
            features: (B, N, F) of these cells.
            origins: (N, 2) or (B, N, 2), their upper left corners (x, y) in pixels.
            frozen: the decisions that are not left to the networks.

        Returns:
            The objects (B, N), and the distribution that they were drawn from.
        """
        where = self.where_head(features).float()  # (B, N, 8)
        where_mean, where_std = where[..., :4], bounded_std(where[..., 4:])
        if frozen.size:
            initial = self.initial_size_logit.expand_as(where_mean[..., 2:])
            where_mean = torch.cat([where_mean[..., :2], initial], -1)
        where = draw_normal(where_mean, where_std, self.training)  # (B, N, 4)
        least, most = self.config.cell_offset
        offset = least + (most - least) * bounded_sigmoid(where[..., :2])  # (B, N, 2), in cells
        size = bounded_sigmoid(where[..., 2:])  # (B, N, 2), in anchors
        position = origins + CELL_SIZE * offset  # (B, N, 2), in pixels
        anchor = self.anchor_size.expand_as(size)

        glimpses = extract_glimpses(image, position, size * anchor, self.config.glimpse_size)
        known = torch.cat([features, self.encoder(glimpses), offset, size], -1)  # (B, N, 2 F + 4)

        what_mean, what_std = self.what_head(known).float().chunk(2, -1)  # (B, N, A) each
        what_std = bounded_std(what_std)
        what = draw_normal(what_mean, what_std, self.training)

        known = torch.cat([known, what], -1)  # (B, N, 2 F + 4 + A)
        depth_mean, depth_std = self.depth_head(known).float().chunk(2, -1)  # (B, N, 1) each
        depth_std = bounded_std(depth_std)
        depth = draw_normal(depth_mean, depth_std, self.training)

        known = torch.cat([known, bounded_sigmoid(depth)], -1)  # (B, N, 2 F + 5 + A)
        presence_logit = self.presence_head(known).float().squeeze(-1).clamp(-10, 10)  # (B, N)
        if frozen.presence:
            presence_logit = torch.full_like(presence_logit, self.config.frozen_presence)
        presence = draw_presence(presence_logit, self.config.presence_temperature, self.training)

        objects = Objects(
            position=position,
            anchor=anchor,
            size_logit=where[..., 2:],
            what=what,
            depth_logit=depth.squeeze(-1),
            presence=presence,
            hidden=self.initial_hidden.expand(*what.shape[:2], -1),
            track_id=torch.full(what.shape[:2], -1, device=image.device),
        )
        latents = Latents(
            mean=side_by_side(where_mean, what_mean, depth_mean),  # (B, N, A + 5)
            std=side_by_side(where_std, what_std, depth_std),
            presence_logit=presence_logit,
        )
        return objects, latents
