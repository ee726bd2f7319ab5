"""Discovery: what is in the frame that no tracked object accounts for (section 3.3)."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from silot_gym.model.attention import CellAttention
from silot_gym.model.config import ModelConfig
from silot_gym.model.graphs import graphed
from silot_gym.model.latents import (
    NOTHING_HELD,
    Held,
    Latents,
    bounded_std,
    draw_normal,
    draw_presence,
)
from silot_gym.model.networks import (
    CELL_SIZE,
    MARGIN,
    RECEPTIVE_FIELD,
    Backbone,
    cell_corners,
    grid_size,
    last_bias,
    mlp,
    with_margin,
)
from silot_gym.model.propagation import HELD_PRESENCE, describe, start_certain
from silot_gym.model.rendering import covered, extract_glimpses, shrunk
from silot_gym.objects import Objects, first_rows, squash

_OFFSET_MIN, _OFFSET_MAX = -0.5, 1.5
"""How far an object's centre may lie from its cell's corner, in cells (b_min, b_max)."""

_REACH = 2
"""How far, in cells, the fused features of a cell look: two convolutions of 3 x 3."""
_COST_OF_FOUR = 36
"""So many cells of a whole frame take as long as four cells with their neighbourhood, about."""
_LOOSE = 1.0
"""Pixels by which a tracked object may be larger than its box."""
_SURE = 0.5
"""Presence from which on a tracked object explains what lies in its box."""


class Discovery(nn.Module):
    """One object for each cell of the frame, at each of several scales.

    At scale s the frame is shrunk s times, which makes cells and anchors s times as large. All
    scales have the same weights: a boxer is found as a bullet is, in a smaller picture.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        features, what = config.feature_dim, config.what_dim
        object_dim = what + 4 + config.hidden_dim
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
        start = (torch.tensor(config.initial_size) / self.anchor_size).logit()
        self.start_size: Tensor  # logits, before training
        self.register_buffer("start_size", start, persistent=False)
        for head in (self.where_head, self.what_head):
            start_certain(head, config.initial_std)
        with torch.no_grad():
            last_bias(self.where_head)[2:4] = self.start_size

    def forward(
        self,
        frame: Tensor,
        propagated: Objects,
        held: Held = NOTHING_HELD,
        drawn: Tensor | None = None,
    ) -> tuple[Objects, Latents | None]:
        """The objects (B, C) discovered in a frame (B, 3, height, width).

        Args:
            frame: in [0, 1]; black is background.
            propagated: (B, K) the objects that are tracked.
            held: what is not decided yet.
            drawn: what `is_drawn` says of the frame, to leave out cells around which nothing is
                drawn but in boxes of tracked objects (as large as the latents say, not only what
                is drawn of them). C is then what the busiest frame of the batch needs; rows beyond
                have presence 0.

        Returns:
            One object for each cell, scale by scale, each row by row; and how it was found, unless
            this ran as a graph.
        """
        found = []
        for scale in self.config.scales:
            nearer = replace(propagated, position=propagated.position / scale)
            joints = None
            if drawn is not None:
                joints = _unexplained(drawn.view(torch.uint8), propagated, CELL_SIZE * scale)
            objects, latents = self._at_scale(shrunk(frame, scale), nearer, held, joints)
            here = {"position": objects.position * scale, "anchor": objects.anchor * scale}
            found.append((replace(objects, **here), latents))
        if len(found) == 1:
            return found[0]
        objects = Objects.concatenate([objects for objects, _ in found], 1)
        how = [latents for _, latents in found if latents is not None]
        return objects, Latents.concatenate(how, 1) if how else None

    def _at_scale(
        self, frame: Tensor, propagated: Objects, held: Held, joints: Tensor | None
    ) -> tuple[Objects, Latents | None]:
        """One object for each cell at the only scale that there is.

        Or only for cells of which a corner is among `joints`, (B, rows + 1, columns + 1) bool.
        """
        rows, columns = grid_size(frame)
        if joints is None:
            top_down = self._top_down(propagated, rows, columns)
        else:
            # In play, what tracked objects explain is not searched. Beside them, what they are
            # hides others: Pong's ball was not found near a paddle.
            top_down = frame.new_zeros(len(frame), self.config.feature_dim, rows, columns)
        corner = cell_corners(rows, columns, frame.device)
        fused = self._features(frame, top_down, joints)
        if joints is None:
            return self._objects(frame, fused, corner, held)
        wanted = functional.max_pool2d(joints.float(), 2, 1).flatten(1) > 0
        return self._objects_in(frame, fused, corner, held, wanted, first_rows(wanted))

    @graphed
    def _top_down(self, propagated: Objects, rows: int, columns: int) -> Tensor:
        """Which objects are at each cell, (B, features, rows, columns)."""
        seen = self.attention(propagated, describe(propagated), rows, columns)
        top_down: Tensor = seen.mT.unflatten(-1, (rows, columns))
        return top_down

    @graphed
    def _objects_in(
        self,
        frame: Tensor,
        fused: Tensor,
        corner: Tensor,
        held: Held,
        wanted: Tensor,
        cells: Tensor,
    ) -> tuple[Objects, Latents | None]:
        """See `_objects`; of some cells (B, N), absent where none is wanted, (B, C) bool."""
        fused = fused.take_along_dim(cells[..., None], 1)
        objects, latents = self._objects(frame, fused, corner[cells], held)
        return replace(objects, presence=objects.presence * wanted.gather(1, cells)), latents

    def _objects(
        self, frame: Tensor, fused: Tensor, corner: Tensor, held: Held
    ) -> tuple[Objects, Latents]:
        """The objects of cells, (B, N), of which features and upper left corners are known."""
        where = self.where_head(fused).float()
        where_mean, where_std = where[..., :4], bounded_std(where[..., 4:])
        if held.size:
            start = self.start_size.expand_as(where_mean[..., 2:])
            where_mean = torch.cat([where_mean[..., :2], start], -1)
        where = draw_normal(where_mean, where_std, self.training)
        offset = _OFFSET_MIN + (_OFFSET_MAX - _OFFSET_MIN) * squash(where[..., :2])
        size = squash(where[..., 2:])
        position = corner + CELL_SIZE * offset
        anchor = self.anchor_size.expand_as(size)

        glimpses = extract_glimpses(frame, position, size * anchor, self.config.glimpse_size)
        seen = torch.cat([fused, self.encoder(glimpses), offset, size], -1)

        what_mean, what_std = self.what_head(seen).float().chunk(2, -1)
        what_std = bounded_std(what_std)
        what = draw_normal(what_mean, what_std, self.training)

        depth_mean, depth_std = self.depth_head(torch.cat([seen, what], -1)).float().chunk(2, -1)
        depth_std = bounded_std(depth_std)
        depth = draw_normal(depth_mean, depth_std, self.training)

        presence_logit = self.presence_head(torch.cat([seen, what, squash(depth)], -1)).float()
        presence_logit = presence_logit.squeeze(-1).clamp(-10, 10)
        if held.presence:
            presence_logit = torch.full_like(presence_logit, HELD_PRESENCE)
        presence = draw_presence(presence_logit, self.config.presence_temperature, self.training)

        objects = Objects(
            position=position,
            anchor=anchor,
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

    def _features(self, frame: Tensor, top_down: Tensor, joints: Tensor | None) -> Tensor:
        """What is known of cells, (B, C, features): what is seen there, and which objects are.

        `top_down` has the latter, (B, features, rows, columns). If only cells at some joints are
        wanted, features of others may be anything.
        """
        # On a GPU a loop over neighbourhoods would take longer than all cells at once.
        if joints is not None and frame.device.type == "cpu":
            cells = top_down[:, 0].numel()
            if _COST_OF_FOUR * int(joints.sum()) < cells:
                return self._features_of_some(frame, top_down, joints)
        fused: Tensor = self.fuse(torch.cat([self.backbone(with_margin(frame)), top_down], 1))
        return fused.flatten(2).mT

    def _features_of_some(self, frame: Tensor, top_down: Tensor, joints: Tensor) -> Tensor:
        """The same from the neighbourhoods of joints only, four cells each; 0 for other cells."""
        rows, columns = top_down.shape[-2:]
        stream, row, column = joints.nonzero(as_tuple=True)
        beyond = _REACH + 1  # cells: the first joint's first cell is outside of the frame
        cells = 2 + 2 * _REACH
        side = RECEPTIVE_FIELD + (cells - 1) * CELL_SIZE
        near = frame.new_zeros(len(stream), side, side, 3).movedim(-1, 1)
        corners = torch.stack([row, column], -1).sub(beyond).mul(CELL_SIZE).sub(MARGIN)
        for square, image, corner in zip(near, stream.tolist(), corners.tolist(), strict=True):
            _cut(frame[image], corner, square)
        known = functional.pad(top_down, (beyond,) * 4)
        known = known.unfold(2, cells, 1).unfold(3, cells, 1)[stream, :, row, column]
        step = torch.arange(cells, device=frame.device) - beyond
        y, x = (row[:, None] + step)[:, :, None], (column[:, None] + step)[:, None]
        # Beyond the frame, all features are zero.
        inside = ((y >= 0) & (y < rows) & (x >= 0) & (x < columns))[:, None]
        fused = torch.cat([self.backbone(near) * inside, known], 1)
        first, rectify, second = self.fuse
        assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
        fused = (
            rectify(functional.conv2d(fused, first.weight, first.bias)) * inside[..., 1:-1, 1:-1]
        )
        fused = functional.conv2d(fused, second.weight, second.bias)
        features = fused.new_zeros(len(frame), rows + 2, columns + 2, fused.shape[1])
        for down in (0, 1):
            for right in (0, 1):
                features[stream, row + down, column + right] = fused[..., down, right]
        return features[:, 1:-1, 1:-1].flatten(1, 2)


def _cut(image: Tensor, corner: list[int], square: Tensor) -> None:
    """Fill a square (C, side, side) with an image (C, height, width) from a corner (y, x) on.

    What lies outside of the image stays as it is. (Padding the image would be simpler, but costs a
    twentieth of a step, as neighbourhoods reach far beyond it.)
    """
    y, x = corner
    side = square.shape[-1]
    part = image[:, max(y, 0) : y + side, max(x, 0) : x + side]
    top, left = max(-y, 0), max(-x, 0)
    square[:, top : top + part.shape[1], left : left + part.shape[2]] = part


@graphed
def _unexplained(drawn: Tensor, objects: Objects, cell_size: int) -> Tensor:
    """Where something is drawn outside of all objects, by the joint of four cells next to it.

    A cell's object may have its centre half a cell outside of it, so that each of the four may
    have found it: what is small may be left to a neighbour in which nothing is.

    Returns:
        (B, rows + 1, columns + 1) bool.
    """
    height, width = drawn.shape[-2:]
    x, y = objects.position.unbind(-1)
    half_x, half_y = (objects.size / 2 + _LOOSE).unbind(-1)
    there = (objects.presence >= _SURE).float()[..., None]
    explained = (there * covered(y, half_y, height)).mT @ covered(x, half_x, width)
    left = drawn * explained.eq_(0).byte()
    before = cell_size // 2
    right, below = (before + cell_size - 1 - (side - 1) % cell_size for side in (width, height))
    left = functional.pad(left, (before, right, before, below))
    rows, columns = left.shape[1] // cell_size, left.shape[2] // cell_size
    # Whole rows first, and as bytes: several times as fast as `any`.
    left = left.view(-1, rows, cell_size, columns * cell_size).amax(2)
    return left.view(-1, rows, columns, cell_size).amax(-1).bool()
