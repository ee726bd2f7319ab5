"""Propagation: where the objects of the last frame are in this one (section 3.4)."""

import torch
from torch import Tensor, nn

from silot_gym.model.attention import ObjectAttention
from silot_gym.model.config import ModelConfig
from silot_gym.model.latents import (
    NOTHING_HELD,
    Held,
    Latents,
    bounded_std,
    draw_normal,
    draw_presence,
    std_logit,
)
from silot_gym.model.networks import last_bias, mlp
from silot_gym.model.rendering import extract_glimpses
from silot_gym.objects import Objects, squash

_GLIMPSE_STEP = 0.1
"""How strongly the first glimpse follows its network, in anchors (0.1 in section 3.4)."""
HELD_PRESENCE = 3.0
"""Log-odds of presence while it is held."""


def describe(objects: Objects) -> Tensor:
    """What networks see of an object: (B, K, 4 + A + R), without its place in the frame."""
    return torch.cat(
        [
            squash(objects.size_logit),
            objects.what,
            objects.depth[..., None],
            objects.presence[..., None],
            objects.hidden,
        ],
        -1,
    )


def start_certain(head: nn.Sequential, std: float) -> None:
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
        features, what = config.feature_dim, config.what_dim
        object_dim = what + 4 + config.hidden_dim
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
        seen = features + 6 + glimpse
        self.what_head = mlp(seen, config.head_dims, 5 * what)
        self.depth_head = mlp(seen + what, config.head_dims, 2)
        self.presence_head = mlp(seen + what + 1, config.head_dims, 1)
        start_certain(self.where_head, config.initial_std)
        if sees_frame:
            start_certain(self.what_input_head, config.initial_std)

    def forward(
        self, objects: Objects, frame: Tensor | None = None, held: Held = NOTHING_HELD
    ) -> tuple[Objects, Latents]:
        """Objects of the last frame to those of this one, in the same slots.

        The recurrent state is passed on as it came: `RecurrentState` advances it.
        """
        noisy, anchor = self.training, objects.anchor
        features = describe(objects)
        if self.describe_all is not None:
            known = self.describe_all(objects, features)
        else:
            known = self.describe_each(features)

        def look(encoder: nn.Module, position: Tensor, size: Tensor) -> Tensor:
            assert frame is not None
            texels = self.config.glimpse_size
            glimpses: Tensor = encoder(extract_glimpses(frame, position, size, texels))
            return glimpses

        around = known
        if self.sees_frame:
            shift, growth = (_GLIMPSE_STEP * self.glimpse_head(known)).chunk(2, -1)
            margin = self.search_margin * anchor
            size = objects.size + margin + anchor * growth
            around = torch.cat(
                [known, look(self.search_encoder, objects.position + anchor * shift, size)], -1
            )

        where = self.where_head(around).float()
        shift_mean, growth_mean = where[..., :2], where[..., 2:4] * float(not held.size)
        where_std = bounded_std(where[..., 4:])
        change = draw_normal(torch.cat([shift_mean, growth_mean], -1), where_std, noisy)
        shift, growth = change.chunk(2, -1)
        position = objects.position + anchor * shift.tanh()
        size_logit = objects.size_logit + growth
        seen = torch.cat([known, shift, growth, squash(size_logit)], -1)

        if self.sees_frame:
            glimpse = look(self.encoder, position, squash(size_logit) * anchor)
            seen = torch.cat([seen, glimpse], -1)

        what_mean, what_std = self._what(objects.what, seen, glimpse if self.sees_frame else None)
        what = draw_normal(what_mean, what_std, noisy)

        depth_mean, depth_std = self.depth_head(torch.cat([seen, what], -1)).float().chunk(2, -1)
        depth_std = bounded_std(depth_std)
        depth_logit = objects.depth_logit[..., None] + draw_normal(depth_mean, depth_std, noisy)

        presence_logit = self.presence_head(torch.cat([seen, what, squash(depth_logit)], -1))
        presence_logit = presence_logit.float().squeeze(-1).clamp(-10, 10)
        if held.stay:
            presence_logit = torch.full_like(presence_logit, HELD_PRESENCE)
        stays = draw_presence(presence_logit, self.config.presence_temperature, noisy)

        propagated = Objects(
            position=position,
            anchor=objects.anchor,
            size_logit=size_logit,
            what=what,
            depth_logit=depth_logit.squeeze(-1),
            presence=objects.presence * stays,
            hidden=objects.hidden,
            track_id=objects.track_id,
        )
        latents = Latents(
            mean=torch.cat(
                [
                    shift_mean,
                    objects.size_logit + growth_mean,
                    what_mean - objects.what,
                    depth_mean,
                ],
                -1,
            ),
            std=torch.cat([where_std, what_std, depth_std], -1),
            presence_logit=presence_logit,
        )
        return propagated, latents

    def _what(self, last: Tensor, seen: Tensor, glimpse: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the appearance.

        A gated mixture of what was, what is seen, and what is expected.
        """
        mean, std, keep, write, expect = self.what_head(seen).float().chunk(5, -1)
        # The cap keeps the standard deviation above zero.
        keep, write, expect = (0.9999 * (gate + 1).sigmoid() for gate in (keep, write, expect))
        what_mean = keep * last + (1 - expect) * mean
        what_std = (1 - expect) * bounded_std(std)
        if glimpse is not None:
            seen_mean, seen_std = self.what_input_head(glimpse).float().chunk(2, -1)
            what_mean = what_mean + (1 - write) * seen_mean
            what_std = what_std + (1 - write) * bounded_std(seen_std)
        return what_mean, what_std


class RecurrentState(nn.Module):
    """What an object remembers of its past: a gated recurrent unit over its attributes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.cell = nn.GRUCell(config.what_dim + 6, config.hidden_dim)

    def forward(self, last: Objects, now: Objects) -> Tensor:
        """The state (B, K, R) after objects went from `last` to `now` in the same slots."""
        attributes = torch.cat(
            [
                (now.position - last.position) / last.anchor,
                squash(now.size_logit),
                now.what,
                now.depth[..., None],
                now.presence[..., None],
            ],
            -1,
        )
        hidden: Tensor = self.cell(attributes.flatten(0, 1), last.hidden.flatten(0, 1))
        return hidden.view_as(last.hidden).float()
