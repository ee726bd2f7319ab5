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
from silot_gym.play.fragments import is_fragment


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
        propagated, objects = self._propagate(previous, active, image)
        tracked = self._boxes(propagated, foreground)
        boxes = tracked.new_zeros(*objects.presence.shape, 4)
        boxes = boxes.scatter(1, active[..., None].expand_as(tracked), tracked)
        if self.play.skip_explained:
            image = self._unexplained(frame, propagated, tracked)
        discovered = self._discover(image, propagated)
        if discovered is not None:
            found = self._boxes(discovered, foreground)
            objects, boxes = self._select(objects, boxes, discovered, found)
        if self.play.duplicate_iou is not None:
            objects = self._suppress(objects, boxes)
        return objects, boxes

    @traced
    def _propagate(
        self, previous: Objects, active: Tensor, image: Tensor
    ) -> tuple[Objects, Objects]:
        """Objects in the active slots (B, N) in this frame, and all slots (B, K) with them."""
        previous = self.model.without_faint(previous)
        propagated, _ = self.model.propagate(previous.take(active), image)
        return propagated, previous.masked(previous.presence.new_zeros(1)).put(active, propagated)

    @traced
    def _unexplained(self, frame: Tensor, objects: Objects, boxes: Tensor) -> Tensor:
        """The image of a frame that is black in the boxes (B, N, 4) of objects (B, N)."""
        explaining = objects.presence >= self.play.explained_presence
        margin = self.play.explained_margin * self.model.config.pixel_size
        explained = covered(boxes, explaining, margin, *frame.shape[-2:])
        return self.model.downsample(frame * explained.eq_(0)[:, None])

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
            # Half a pixel more than what is blacked out, as boxes end between pixels.
            reach = (play.explained_margin + 0.5) * self.model.config.pixel_size
            fragment = is_fragment(found, boxes, play.fragment_overlap, play.fragment_size, reach)
            discovered = discovered.masked(~(fragment & whole[:, None]).any(-1))
        objects, source = select(tracked, discovered, self.model.config.nms_iou)
        return objects, torch.cat([boxes, found], 1).take_along_dim(source[..., None], 1)

    @traced
    def _suppress(self, objects: Objects, boxes: Tensor) -> Objects:
        """Objects without duplicates: those whose box overlaps that of a more present one."""
        assert self.play.duplicate_iou is not None
        duplicate = non_maximum(boxes, objects.presence, self.play.duplicate_iou)
        return objects.masked(~duplicate)

    def _boxes(self, objects: Objects, foreground: Tensor) -> Tensor:
        """Boxes (B, N, 4) in the frame's pixels, those of present objects fitted if wanted."""
        boxes = self.model.boxes(objects)
        if not self.play.fit_boxes:
            return boxes
        present = compact_indices(objects.presence > 0)[..., None]
        if not present.numel():
            return boxes
        chosen = boxes.take_along_dim(present, 1)
        first, count = touched_pixels(chosen, *foreground.shape[1:])
        offset = torch.arange(max(1.0, float(count.detach().max())), device=boxes.device)
        fitted = self._fit(chosen, foreground.view(torch.uint8), first, count, offset)
        return boxes.scatter(1, present.expand_as(fitted), fitted)

    @traced
    def _fit(
        self, boxes: Tensor, foreground: Tensor, first: Tensor, count: Tensor, offset: Tensor
    ) -> Tensor:
        return fit_boxes(boxes, foreground, first, count, offset, self.play.part_share)
