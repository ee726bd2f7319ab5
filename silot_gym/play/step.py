"""One time step of play: the model's step with the decisions of `PlayConfig` around it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from silot_gym.model import SILOT
from silot_gym.model.networks import CELL_SIZE, cell_origins, grid_size
from silot_gym.model.rendering import downsample
from silot_gym.model.selection import non_maximum, select
from silot_gym.objects import Objects, compact_indices
from silot_gym.play.cells import covered, features_near, lit_corners
from silot_gym.play.config import PlayConfig
from silot_gym.play.engine import traced
from silot_gym.play.foreground import fit_boxes, touched_pixels
from silot_gym.play.fragments import touches


class PlayStep(nn.Module):
    """What `SILOT.step` is in training, for play: without gradients, and with its own decisions.

    Propagation, discovery and selection are the model's. With `PlayConfig.plain()` nothing is
    added to them.
    """

    def __init__(self, model: SILOT, play: PlayConfig) -> None:
        super().__init__()
        self.model, self.play = model, play

    @property
    def config(self) -> Any:
        """What modules have in common that share traces; see `traced`."""
        return self.model.config, self.play

    def forward(
        self, frame: Tensor, foreground: Tensor, previous: Objects
    ) -> tuple[Objects, Tensor]:
        """Objects of the last frame and a frame to the objects of this frame.

        Args:
            frame: (B, 3, height, width) in [0, 1], black where there is no foreground.
            foreground: (B, height, width) bool.
            previous: (B, K).

        Returns:
            The objects (B, K), of which newly discovered ones have no `track_id`; and their boxes
            (B, K, 4) in the frame's pixels.
        """
        image = self.model.downsample(frame)
        active = self.model.active_slots(previous)
        propagated = self._propagate(previous, active, image)
        propagated, tracked = self._fit(propagated, foreground)
        if self.play.skip_explained:
            frame, foreground = self._unexplained(frame, foreground, propagated, tracked)
            image = self.model.downsample(frame)
        discovered = self._discover(image, propagated)
        objects, boxes = self._in_slots(previous, active, propagated, tracked)
        if discovered is not None:
            discovered, found = self._fit(discovered, foreground)
            objects, boxes = self._select(objects, boxes, discovered, found)
        if self.play.duplicate_iou is not None:
            objects = self._suppress(objects, boxes)
        return objects, boxes

    @traced
    def _propagate(self, previous: Objects, active: Tensor, image: Tensor) -> Objects:
        """Objects in the active slots (B, N) of the last frame, in this frame."""
        before = self.model.without_faint(previous).take(active)
        propagated: Objects = self.model.propagate(before, image)[0]
        return propagated

    @traced
    def _in_slots(
        self, previous: Objects, active: Tensor, propagated: Objects, tracked: Tensor
    ) -> tuple[Objects, Tensor]:
        """All slots (B, K) and their boxes, with propagated objects (B, N) in the active ones."""
        nothing = previous.presence.new_zeros(1)
        boxes = tracked.new_zeros(*previous.presence.shape, 4)
        boxes = boxes.scatter(1, active[..., None].expand_as(tracked), tracked)
        return previous.masked(nothing).put(active, propagated), boxes

    @traced
    def _unexplained(
        self, frame: Tensor, foreground: Tensor, objects: Objects, boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A frame and its foreground outside of the boxes (B, N, 4) of objects (B, N)."""
        explaining = objects.presence >= self.play.explained_presence
        margin = self.play.explained_margin * self.model.config.pixel_size
        outside = covered(boxes, explaining, margin, *foreground.shape[-2:]).eq_(0)
        return frame * outside[:, None], foreground & outside.bool()

    def _discover(self, image: Tensor, propagated: Objects) -> Objects | None:
        """What is not among propagated objects (B, N), (B, C); None where nothing is to be seen."""
        if not self.play.skip_explained:
            discovered: Objects = self.model.discovery(image, propagated)[0]
            return discovered
        found = []
        for scale in self.model.config.scales:
            picture = downsample(image, scale)
            corners = self._lit_corners(picture)
            wanted = functional.max_pool2d(corners.float(), 2, 1).flatten(1) > 0  # (B, C)
            cells = compact_indices(wanted)  # (B, N)
            if not cells.numel():
                continue
            features = self._features(picture, corners)
            rows, columns = grid_size(picture)
            origins = cell_origins(rows, columns, image.device)
            found.append(self._objects_in(picture, features, origins, wanted, cells, scale))
        return Objects.concatenate(found, 1) if found else None

    @traced
    def _lit_corners(self, image: Tensor) -> Tensor:
        return lit_corners(image.amax(1), CELL_SIZE)

    def _features(self, image: Tensor, corners: Tensor) -> Tensor:
        """Features of cells, (B, C, F). Those of cells away from the corners are arbitrary."""
        rows, columns = grid_size(image)
        cells = len(image) * rows * columns
        # On a GPU a loop over neighbourhoods would take longer than all cells at once.
        if image.is_cpu and self.play.dense_cells * int(corners.sum()) < cells:
            return features_near(self.model.discovery, image, corners)
        nothing = image.new_zeros(len(image), self.model.config.feature_dim, rows, columns)
        return self.model.discovery.features(image, nothing)

    @traced
    def _objects_in(
        self,
        image: Tensor,
        features: Tensor,
        origins: Tensor,
        wanted: Tensor,
        cells: Tensor,
        scale: int,
    ) -> Objects:
        """The objects of some cells (B, N), absent where they are not wanted, (B, C) bool."""
        features = features.take_along_dim(cells[..., None], 1)
        objects, _ = self.model.discovery.objects(image, features, origins[cells])
        return objects.masked(wanted.gather(1, cells)).rescaled(scale)

    @traced
    def _select(
        self, tracked: Objects, boxes: Tensor, discovered: Objects, found: Tensor
    ) -> tuple[Objects, Tensor]:
        """Objects (B, K) and their boxes, chosen of tracked ones (B, K) and discovered ones."""
        play = self.play
        if play.fragment_overlap is not None:
            whole = tracked.presence >= play.explained_presence
            reach = (play.explained_margin + 0.5) * self.model.config.pixel_size
            fragment = touches(found, boxes, whole, reach, play.fragment_overlap)
            discovered = discovered.masked(~fragment)
        objects, source = select(tracked, discovered, self.model.config.nms_iou)
        return objects, torch.cat([boxes, found], 1).take_along_dim(source[..., None], 1)

    @traced
    def _suppress(self, objects: Objects, boxes: Tensor) -> Objects:
        """Objects without duplicates: those whose box overlaps that of a more present one."""
        assert self.play.duplicate_iou is not None
        duplicate = non_maximum(boxes, objects.presence, self.play.duplicate_iou)
        return objects.masked(~duplicate)

    def _fit(self, objects: Objects, foreground: Tensor) -> tuple[Objects, Tensor]:
        """Objects and their boxes (B, N, 4) in the frame's pixels, fitted to the foreground.

        Where there is no foreground in an object's box, the object is absent: a black sprite on
        black ground costs the model nothing.
        """
        boxes = self.model.boxes(objects)
        if not self.play.fit_boxes:
            return objects, boxes
        present = compact_indices(objects.presence > 0)
        if not present.numel():
            return objects, boxes
        index = present[..., None].expand(-1, -1, 4)
        chosen = boxes.gather(1, index)
        first, count = touched_pixels(chosen, *foreground.shape[1:])
        offset = torch.arange(max(1.0, float(count.detach().max())), device=boxes.device)
        fitted, some = self._fit_boxes(
            chosen, foreground.view(torch.uint8), first, count, offset
        )
        there = torch.zeros_like(objects.presence).scatter(1, present, some.float())
        return objects.masked(there), boxes.scatter(1, index, fitted)

    @traced
    def _fit_boxes(
        self, boxes: Tensor, foreground: Tensor, first: Tensor, count: Tensor, offset: Tensor
    ) -> tuple[Tensor, Tensor]:
        return fit_boxes(boxes, foreground, first, count, offset, self.play.part_share)
