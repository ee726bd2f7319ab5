"""Frames to slots: the one loop over time that all play goes through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from silot_gym.arithmetic import single_precision
from silot_gym.background import Region, pack_colours, within
from silot_gym.boxes import clip_boxes
from silot_gym.checkpoint import Checkpoint
from silot_gym.object_types import TypeVotes
from silot_gym.objects import Objects
from silot_gym.play.online_background import BackgroundState, OnlineBackground
from silot_gym.play.relinking import relink
from silot_gym.play.step import PlayStep
from silot_gym.slots import Slots

__all__ = ["SlotTracker", "Tracks"]


@dataclass(frozen=True)
class Tracks:
    """What a tracker knows of the past, as `SlotTracker.clone_tracks` gives it."""

    objects: Objects
    next_id: Tensor
    centre: NDArray[np.float32]
    votes: NDArray[np.float32] | None
    background: BackgroundState
    steps: int


class SlotTracker:
    """Tracks the objects of several streams of frames, its lanes, in one forward pass a step.

    The same checkpoint and frames give the same slots, on one machine bit for bit. A lane of a
    batch sees what a tracker of its own would see, up to the rounding of floats.

    Attributes:
        lanes: B, the number of streams.
        num_slots: K, the most objects that are tracked in a lane.
        what_dim: A, the length of an object's appearance.
        types: those of the checkpoint.
        steps: calls that have moved all lanes on since all were reset together.
    """

    @single_precision()
    def __init__(
        self,
        checkpoint: Checkpoint,
        lanes: int = 1,
        num_slots: int | None = None,
        frame_size: tuple[int, int] | None = None,
        ignore: Sequence[Region] | None = None,
    ) -> None:
        """Starts with no tracks.

        Args:
            checkpoint: The model, on the device that it shall run on.
            lanes: Number of streams.
            num_slots: Slots a lane; the checkpoint's number by default.
            frame_size: Height and width of the frames; those of the first frame by default.
            ignore: Regions (x0, y0, x1, y1), in fractions of the frame, where nothing is seen, in
                place of what `checkpoint.play` ignores: the HUD, and small things that are always
                the same.

        Raises:
            TypeError: `checkpoint` is no checkpoint.
            ValueError: `lanes` or `num_slots` is below 1, a region lies outside of the frame, or
                the model is in training mode.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise TypeError(
                f"expected a Checkpoint, got {checkpoint!r}: Checkpoint.load takes a folder or name"
            )
        num_slots = checkpoint.num_slots if num_slots is None else num_slots
        if not all(
            type(n) is not bool and isinstance(n, int | np.integer) and n >= 1
            for n in (lanes, num_slots)
        ):
            raise ValueError(f"expected lanes and num_slots >= 1, got {lanes!r} and {num_slots!r}")
        if checkpoint.model.training:
            raise ValueError("expected a model in evaluation mode: in training mode it draws noise")
        self.lanes, self.num_slots = lanes, num_slots
        self.what_dim = checkpoint.model.config.what_dim
        self.steps = 0
        self._play = play = checkpoint.play
        self._model, self._frames = checkpoint.model, checkpoint.frames
        self._advance = PlayStep(checkpoint.model, play)
        self._frame_size = frame_size
        background, self._ignore = play.background(checkpoint.frames.background, ignore)
        self._background = OnlineBackground(background, lanes, play)
        self._objects = self._model.empty_objects(lanes, num_slots)
        self._device = self._objects.presence.device
        self._visible = ~within(self._ignore, *(frame_size or (1, 1))).to(self._device)
        self._next_id = torch.zeros(lanes, 1, dtype=torch.int64, device=self._device)
        self._centre = np.zeros((lanes, num_slots, 2), np.float32)
        self.types = types = checkpoint.types
        self._votes = None
        if types is not None:
            self._votes = TypeVotes(types, lanes, num_slots, play.vote_decay)

    @torch.inference_mode()
    @single_precision()
    def reset(self, lanes: Sequence[int] | None = None) -> None:
        """Forgets the tracks of some lanes, of all by default."""
        if lanes is None:
            lanes = range(self.lanes)
            self.steps = 0
        forget = torch.zeros(self.lanes, dtype=torch.bool, device=self._device)
        forget[list(lanes)] = True
        self._objects = self._objects.forget(forget)
        self._background.forget(forget)
        self._next_id = self._next_id.masked_fill(forget[:, None], 0)

    @torch.inference_mode()
    @single_precision()
    def step(self, frames: NDArray[np.uint8], lanes: Sequence[int] | None = None) -> Slots:
        """Follows the objects into the next frame of each lane.

        Args:
            frames: (lanes, height, width, 3) uint8 RGB.
            lanes: The lanes that the frames belong to, if these are not all; the others stay as
                they are.

        Returns:
            The slots of these lanes.

        Raises:
            ValueError: the frames are of another type, shape or size.
            FloatingPointError: the model's output is not finite.
        """
        chosen = list(range(self.lanes) if lanes is None else lanes)
        if not chosen or len(set(chosen)) < len(chosen) or not {*chosen} <= {*range(self.lanes)}:
            raise ValueError(f"expected some of {self.lanes} lanes, each once, got {chosen}")
        height, width = self._check(frames, len(chosen))
        # A copy, because torch refuses or warns of views that are reversed or read-only.
        rgb = torch.from_numpy(np.array(frames, order="C")).to(self._device)
        # One plane a colour in memory: both readers below are faster.
        rgb = rgb.movedim(-1, 1).contiguous().movedim(1, -1)
        if self._visible.shape != (height, width):
            self._visible = ~within(self._ignore, height, width).to(self._device)
        foreground = self._background.foreground(pack_colours(rgb), chosen) & self._visible
        frame = self._frames.prepare(rgb, foreground)
        index = torch.tensor(chosen, device=self._device)
        previous = self._objects
        if lanes is not None:
            previous = previous.map(lambda value: value[index])
        objects, boxes = self._advance(frame, foreground, previous)
        self._check_finite(objects)
        threshold = self._play.presence_threshold
        if self._play.relink_distance is not None:
            distance = self._play.relink_distance / self._model.config.pixel_size
            objects, slots = relink(objects, previous, threshold, distance)
            boxes = boxes.take_along_dim(slots[..., None], 1)
        present = objects.presence >= threshold
        new = present & (objects.track_id < 0)
        ids = self._next_id[chosen] + new.cumsum(1) - 1
        objects = replace(objects, track_id=torch.where(new, ids, objects.track_id))
        self._next_id[chosen] += new.sum(1, keepdim=True)
        self._objects = (
            objects
            if lanes is None
            else self._objects.zip(objects, lambda old, now: old.index_copy(0, index, now))
        )
        self.steps += lanes is None
        return self._show(objects, boxes, chosen, present, new)

    def clone_tracks(self) -> Tracks:
        """What is tracked now in all lanes, to come back to later."""
        return Tracks(
            objects=self._objects.map(Tensor.clone),
            next_id=self._next_id.clone(),
            centre=self._centre.copy(),
            votes=None if self._votes is None else self._votes.state(),
            background=self._background.state(),
            steps=self.steps,
        )

    def restore_tracks(self, tracks: Tracks) -> None:
        """Goes on from what was tracked when `clone_tracks` gave this, as often as wanted.

        Raises:
            ValueError: it comes from a tracker of other lanes or slots.
        """
        if tracks.centre.shape != self._centre.shape:
            raise ValueError(
                f"expected tracks of {self._centre.shape[:2]} lanes and slots, got "
                f"{tracks.centre.shape[:2]}"
            )
        self._objects = tracks.objects.map(Tensor.clone)
        self._next_id, self._centre = tracks.next_id.clone(), tracks.centre.copy()
        if self._votes is not None and tracks.votes is not None:
            self._votes.restore(tracks.votes)
        self._background.restore(tracks.background)
        self.steps = tracks.steps

    @torch.inference_mode()
    @single_precision()
    def predict(self) -> Slots:
        """Moves all objects on as the learned prior has it, without a frame (section 3.8).

        Returns:
            The slots of all lanes, with the boxes of the latents.

        Raises:
            ValueError: there was no frame yet.
            FloatingPointError: the model's output is not finite.
        """
        if self._frame_size is None:
            raise ValueError("expected a step with frames before a prediction without one")
        self._objects = self._model.predict(self._objects)
        self._check_finite(self._objects)
        self.steps += 1
        present = self._objects.presence >= self._play.presence_threshold
        boxes = self._model.boxes(self._objects)
        none_new = torch.zeros_like(present)
        return self._show(self._objects, boxes, list(range(self.lanes)), present, none_new)

    @torch.inference_mode()
    @single_precision()
    def reconstruct(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the model sees in the last frames: its objects on their background.

        Args:
            frames: (lanes, height, width, 3) uint8 RGB, the last one of each lane.

        Returns:
            The same shape and type.

        Raises:
            ValueError: the frames are of another type, shape or size.
        """
        height, width = self._check(frames, self.lanes)
        rgb = torch.from_numpy(np.array(frames, order="C")).to(self._device)
        rendered = self._model.render(self._objects, height, width)
        behind = self._background.behind(pack_colours(rgb))
        return np.asarray(self._frames.to_rgb(rendered, behind).cpu().numpy())

    def _check_finite(self, objects: Objects) -> None:
        """One look at all values, and a second one to say which they are."""
        names = ("presence", "position", "size_logit", "what", "depth_logit", "hidden")
        if sum(getattr(objects, name).sum() for name in names).isfinite():
            return
        for name in names:
            if not getattr(objects, name).isfinite().all():
                raise FloatingPointError(f"step {self.steps}: the model's {name} is not finite")

    def _check(self, frames: NDArray[np.uint8], lanes: int) -> tuple[int, int]:
        """Height and width of frames that are as they should be."""
        dtype, shape = getattr(frames, "dtype", type(frames)), getattr(frames, "shape", ())
        size: tuple[int, ...] = self._frame_size or shape[1:3]
        if dtype != np.uint8 or len(size) != 2 or shape != (lanes, *size, 3):
            height, width = self._frame_size or ("height", "width")
            raise ValueError(
                f"step {self.steps}: expected uint8 frames ({lanes}, {height}, {width}, 3), "
                f"got {dtype} {shape}"
            )
        self._frame_size = size[0], size[1]
        return self._frame_size

    def _show(
        self,
        objects: Objects,
        boxes: Tensor,
        lanes: list[int],
        present: Tensor,
        new: Tensor,
    ) -> Slots:
        """Objects of some lanes with their boxes as slots, the absent ones empty."""
        assert self._frame_size is not None  # a frame was seen
        height, width = self._frame_size
        shown = present.cpu().numpy()

        def where_shown(value: NDArray[np.float32]) -> NDArray[np.float32]:
            mask = shown if value.ndim == 2 else shown[..., None]
            return np.where(mask, value, np.float32(0))

        edges = _array(boxes)
        extent = np.array([width, height], np.float32)
        first, last = edges[..., :2], edges[..., 2:]
        centre = np.clip((first + last) / (2 * extent), 0, 1)
        size = np.clip((last - first) / extent, 0, 1)
        begun = new.cpu().numpy()
        velocity = np.where(begun[..., None], np.float32(0), centre - self._centre[lanes])
        self._centre[lanes] = centre
        what = _array(objects.what.tanh())
        category = np.full(shown.shape, -1)
        if self._votes is not None:
            category = self._votes.cast(lanes, what, size, shown, begun)
        return Slots(
            presence=where_shown(_array(objects.presence)),
            where=where_shown(np.concatenate([centre, size], -1)),
            velocity=where_shown(velocity),
            depth=where_shown(_array(objects.depth)),
            what=where_shown(what),
            track_id=np.where(shown, objects.track_id.cpu().numpy(), -1),
            boxes=where_shown(clip_boxes(edges, height, width)),
            category=category,
        )


def _array(value: Tensor) -> NDArray[np.float32]:
    return np.asarray(value.cpu().numpy(), np.float32)
