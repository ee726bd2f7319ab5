"""Propagation: where the objects of the last frame are in this one (section 3.4)."""

import torch
from torch import Tensor, nn

from silot_gym.model.attention import ObjectAttention
from silot_gym.model.config import ModelConfig
from silot_gym.model.latents import (
    NOT_FROZEN,
    Frozen,
    Latents,
    bounded_std,
    draw_normal,
    draw_presence,
    side_by_side,
    std_logit,
)
from silot_gym.model.networks import last_bias, mlp
from silot_gym.model.rendering import extract_glimpses
from silot_gym.objects import Objects, bounded_sigmoid

_GATE_MAX, _GATE_BIAS = 0.9999, 1.0
"""Largest value of a gate, which keeps standard deviations above zero; and what is added to its
logit, so that appearances persist at first."""


def describe(objects: Objects) -> Tensor:
    """What networks see of an object: (B, K, 4 + A + R), without its place in the frame."""
    return torch.cat(
        [
            bounded_sigmoid(objects.size_logit),
            objects.what,
            objects.depth[..., None],
            objects.presence[..., None],
            objects.hidden,
        ],
        -1,
    )


def description_dim(config: ModelConfig) -> int:
    """How many numbers `describe` gives of an object."""
    return 2 + config.what_dim + 1 + 1 + config.hidden_dim


def set_initial_std(head: nn.Sequential, std: float) -> None:
    """Let a head of means and standard deviations start with the latter at `std`."""
    bias = last_bias(head)
    with torch.no_grad():
        bias[len(bias) // 2 :] = std_logit(std)


class Propagation(nn.Module):
    """The next state of each object, from its last one and glimpses of the frame near it.

    With `sees_frame` false this is the learned prior of section 3.8: the same without glimpses,
    which has to know how objects move.
    """

    def __init__(self, config: ModelConfig, sees_frame: bool) -> None:
        super().__init__()
        self.config = config
        self.sees_frame = sees_frame
        features, what, object_dim = config.feature_dim, config.what_dim, description_dim(config)
        self.describe_all: ObjectAttention | None = None
        if config.object_attention:
            self.describe_all = ObjectAttention(
                object_dim, features, config.attention_std, max(config.anchor_size)
            )
        else:
            self.describe_each = mlp(object_dim, (features, features), features)

        glimpse = features if sees_frame else 0
        if sees_frame:
            texels = 3 * config.glimpse_size**2
            margin = config.search_margin / torch.tensor(config.anchor_size)
            self.search_margin: Tensor  # in anchors
            self.register_buffer("search_margin", margin, persistent=False)
            self.glimpse_head = mlp(features, config.head_dims, 4)
            self.search_encoder = mlp(texels, config.encoder_dims, features)
            self.encoder = mlp(texels, config.encoder_dims, features)
            self.what_input_head = mlp(features, config.head_dims, 2 * what)
        self.where_head = mlp(features + glimpse, config.head_dims, 8)
        known = features + 6 + glimpse
        self.what_head = mlp(known, config.head_dims, 5 * what)
        self.depth_head = mlp(known + what, config.head_dims, 2)
        self.presence_head = mlp(known + what + 1, config.head_dims, 1)
        set_initial_std(self.where_head, config.initial_std)
        if sees_frame:
            set_initial_std(self.what_input_head, config.initial_std)

    def forward(
        self, objects: Objects, image: Tensor | None = None, frozen: Frozen = NOT_FROZEN
    ) -> tuple[Objects, Latents]:
        """Objects (B, N) of the last frame to those of this one, in the same slots.

        The recurrent state is passed on as it came: `RecurrentState` advances it.

        Args:
            objects: those of the last frame.
            image: (B, 3, height, width), this frame; None for the learned prior.
            frozen: the decisions that are not left to the networks.

        Returns:
            The objects, and the distribution that they were drawn from.
        """
        noisy, anchor = self.training, objects.anchor  # (B, N, 2)
        features = describe(objects)  # (B, N, 4 + A + R)
        if self.describe_all is not None:
            known = self.describe_all(objects, features)  # (B, N, F), u_td
        else:
            known = self.describe_each(features)

        def encode_crop(encoder: nn.Module, position: Tensor, size: Tensor) -> Tensor:
            assert image is not None
            crops = extract_glimpses(image, position, size, self.config.glimpse_size)
            encoded: Tensor = encoder(crops)  # (B, N, F)
            return encoded

        searched, glimpse = known, None
        if self.sees_frame:
            shift, growth = (self.config.glimpse_step * self.glimpse_head(known)).chunk(
                2, -1
            )  # (B, N, 2)
            margin = self.search_margin * anchor
            size = objects.size + margin + anchor * growth
            glimpse = encode_crop(self.search_encoder, objects.position + anchor * shift, size)
            searched = torch.cat([known, glimpse], -1)  # (B, N, 2 F)

        where = self.where_head(searched).float()  # (B, N, 8)
        shift_mean, growth_mean = where[..., :2], where[..., 2:4] * float(not frozen.size)
        where_std = bounded_std(where[..., 4:])
        change = draw_normal(torch.cat([shift_mean, growth_mean], -1), where_std, noisy)
        shift, growth = change.chunk(2, -1)  # (B, N, 2) each
        position = objects.position + anchor * shift.tanh()
        size_logit = objects.size_logit + growth
        known = torch.cat([known, shift, growth, bounded_sigmoid(size_logit)], -1)  # (B, N, F + 6)

        if self.sees_frame:
            glimpse = encode_crop(self.encoder, position, bounded_sigmoid(size_logit) * anchor)
            known = torch.cat([known, glimpse], -1)  # (B, N, 2 F + 6)

        what_mean, what_std = self._what(objects.what, known, glimpse)  # (B, N, A) each
        what = draw_normal(what_mean, what_std, noisy)

        known = torch.cat([known, what], -1)
        depth_mean, depth_std = self.depth_head(known).float().chunk(2, -1)  # (B, N, 1) each
        depth_std = bounded_std(depth_std)
        depth_logit = objects.depth_logit[..., None] + draw_normal(depth_mean, depth_std, noisy)

        known = torch.cat([known, bounded_sigmoid(depth_logit)], -1)
        presence_logit = self.presence_head(known).float().squeeze(-1).clamp(-10, 10)  # (B, N)
        if frozen.stay:
            presence_logit = torch.full_like(presence_logit, self.config.frozen_presence)
        stays = draw_presence(presence_logit, self.config.presence_temperature, noisy)

        propagated = Objects(
            position=position,
            anchor=anchor,
            size_logit=size_logit,
            what=what,
            depth_logit=depth_logit.squeeze(-1),
            presence=objects.presence * stays,
            hidden=objects.hidden,
            track_id=objects.track_id,
        )
        where_mean = torch.cat([shift_mean, objects.size_logit + growth_mean], -1)  # (B, N, 4)
        latents = Latents(
            mean=side_by_side(where_mean, what_mean - objects.what, depth_mean),  # (B, N, A + 5)
            std=side_by_side(where_std, what_std, depth_std),
            presence_logit=presence_logit,
        )
        return propagated, latents

    def _what(self, last: Tensor, known: Tensor, glimpse: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the appearance.

        A gated sum of what was, what the glimpse shows, and what is expected; the gates need not
        add up to 1.
        """
        mean, std, *gates = self.what_head(known).float().chunk(5, -1)  # (B, N, A) each
        keep, ignore_glimpse, ignore_expected = (
            _GATE_MAX * (gate + _GATE_BIAS).sigmoid() for gate in gates
        )
        what_mean = keep * last + (1 - ignore_expected) * mean
        what_std = (1 - ignore_expected) * bounded_std(std)
        if glimpse is not None:
            seen_mean, seen_std = self.what_input_head(glimpse).float().chunk(2, -1)
            what_mean = what_mean + (1 - ignore_glimpse) * seen_mean
            what_std = what_std + (1 - ignore_glimpse) * bounded_std(seen_std)
        return what_mean, what_std


class RecurrentState(nn.Module):
    """What an object remembers of its past: a gated recurrent unit over its attributes.

    The authors' code has it; section 3 does not describe it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.cell = nn.GRUCell(config.what_dim + 6, config.hidden_dim)

    def forward(self, previous: Objects, now: Objects) -> Tensor:
        """The state (B, K, R) after objects went from `previous` to `now` in the same slots."""
        attributes = torch.cat(
            [
                (now.position - previous.position) / previous.anchor,
                bounded_sigmoid(now.size_logit),
                now.what,
                now.depth[..., None],
                now.presence[..., None],
            ],
            -1,
        )  # (B, K, A + 6)
        hidden: Tensor = self.cell(attributes.flatten(0, 1), previous.hidden.flatten(0, 1))
        return hidden.view_as(previous.hidden).float()
