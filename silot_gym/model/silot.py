"""SILOT: Spatially Invariant, Label-free Object Tracking (Crawford and Pineau, AAAI 2020)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from silot_gym.model.config import ModelConfig
from silot_gym.model.discovery import Discovery
from silot_gym.model.graphs import graphed
from silot_gym.model.latents import NOTHING_HELD, Held, Latents
from silot_gym.model.propagation import Propagation, RecurrentState
from silot_gym.model.rendering import Renderer, drawn_boxes, is_drawn, shrunk
from silot_gym.model.selection import give_up_duplicates, select
from silot_gym.objects import Objects, first_rows

NEARLY_EMPTY = 0.01
"""Presence below which an object may be taken for gone: it never rises again."""


def used_slots(objects: Objects, in_play: bool = False) -> Tensor:
    """Slots (B, N) of objects (B, K) with all that hold more than next to nothing.

    N is what the fullest stream needs. In training on a GPU it is K: there empty slots cost less
    than that the host waits until they are counted, and recorded work needs shapes that stay.
    """
    presence = objects.presence
    all_slots = presence.device.type != "cpu" and not in_play
    return first_rows(presence >= NEARLY_EMPTY, presence.shape[1] if all_slots else None)


@dataclass(frozen=True)
class StepOutput:
    """What one time step yields.

    Attributes:
        objects: (B, K) the selected objects o(t).
        known: (B, N) the objects of the last frame in the slots that `used_slots` names (in all
            before the first frame).
        propagated: (B, N) the same, moved to this frame.
        propagated_latents: how they were moved; None before the first frame, and from `graphed`.
        discovered: (B, C) one object a cell (in play, a cell around which something is drawn that
            no tracked object explains); None where discovery was left out.
        discovered_latents: how they were found; None from `graphed`.
        boxes: (B, K, 4) in play, around what is drawn of the objects; see `SILOT.boxes`.
    """

    objects: Objects
    known: Objects
    propagated: Objects
    propagated_latents: Latents | None = None
    discovered: Objects | None = None
    discovered_latents: Latents | None = None
    boxes: Tensor | None = None


class SILOT(nn.Module):
    """The whole model; `step` is all that happens in a time step, in training and in play.

    In training mode latents are drawn, in evaluation mode they are their means.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.discovery = Discovery(config)
        self.propagation = Propagation(config, sees_frame=True)
        self.propagation_prior = Propagation(config, sees_frame=False)
        self.recurrence = RecurrentState(config)
        self.renderer = Renderer(config)

    def empty_objects(self, batch: int, num_slots: int | None = None) -> Objects:
        """No objects yet, in each of `batch` streams."""
        config = self.config
        device = self.discovery.initial_hidden.device
        slots = config.num_slots if num_slots is None else num_slots
        return Objects.empty(batch, slots, config.what_dim, config.hidden_dim, device)

    def see(self, frame: Tensor) -> Tensor:
        """A frame (..., 3, height, width) in the model's pixels."""
        return shrunk(frame, self.config.pixel_size)

    def step(
        self,
        frame: Tensor,
        last: Objects | None,
        *,
        discover: bool = True,
        held: Held = NOTHING_HELD,
        drawn: Tensor | None = None,
    ) -> StepOutput:
        """Objects of the last frame and a frame to the objects of this frame (section 3.1).

        Args:
            frame: (B, 3, height, width) in [0, 1]; height and width are free.
            last: (B, K) objects of the last frame; None before the first.
            discover: whether to look for objects that are not tracked yet.
            held: what is not decided yet.
            drawn: in play, what `is_drawn` says of the frame. Then nothing is done for cells
                around which there is nothing new, and objects that overlap are given up sooner;
                see `select` and `give_up_duplicates`.
        """
        seen = self.see(frame)
        if last is None:
            propagated = known = tracked = self.empty_objects(len(seen))
            propagated_latents = None
        else:
            slots = used_slots(last, in_play=drawn is not None)
            known, tracked, propagated, propagated_latents = self.follow(last, slots, seen, held)
        if not discover:
            return StepOutput(propagated, known, tracked, propagated_latents)
        in_sight = drawn if drawn is None or seen is frame else is_drawn(seen)
        discovered, discovered_latents = self.discovery(seen, tracked, held, in_sight)
        objects, boxes = select(propagated, discovered, drawn is not None), None
        if drawn is not None:
            boxes = self.boxes(objects, drawn)
            objects = give_up_duplicates(objects, boxes)
        return StepOutput(
            objects, known, tracked, propagated_latents, discovered, discovered_latents, boxes
        )

    @graphed
    def follow(
        self, last: Objects, slots: Tensor, seen: Tensor, held: Held
    ) -> tuple[Objects, Objects, Objects, Latents | None]:
        """Where some objects of the last frame are in this one (section 3.4).

        Args:
            last: (B, K).
            slots: (B, N), those to follow.
            seen: the frame in the model's pixels.
            held: see `step`.

        Returns:
            The objects (B, N) as they were, with none in slots that held next to nothing; the same
            as they are now; objects (B, K) of which all others are absent; and how they were moved,
            unless this ran as a graph.
        """
        there = last.presence >= NEARLY_EMPTY
        known = replace(last, presence=last.presence * there).take(slots)
        tracked, latents = self.propagation(known, seen, held)
        tracked = replace(tracked, hidden=self.recurrence(known, tracked))
        empty = replace(last, presence=torch.zeros_like(last.presence))
        return known, tracked, empty.put(slots, tracked), latents

    def predict(self, last: Objects) -> Objects:
        """The next state of objects as the learned prior has it, without a frame."""
        predicted: Objects = self.propagation_prior(last)[0]
        return replace(predicted, hidden=self.recurrence(last, predicted))

    def render(self, objects: Objects, height: int, width: int) -> Tensor:
        """Frames (B, 3, height, width) in [0, 1] of objects (B, K)."""
        size = self.config.pixel_size
        seen = self.renderer(objects, -(-height // size), -(-width // size))
        frame: Tensor = seen.repeat_interleave(size, -1).repeat_interleave(size, -2)
        return frame[..., :height, :width]

    def boxes(self, objects: Objects, drawn: Tensor | None = None) -> Tensor:
        """Boxes (B, K, 4) of objects, (x0, y0, x1, y1) in pixels.

        Args:
            objects: (B, K).
            drawn: what `is_drawn` says of the frame that they are in, for boxes around what is
                drawn of them; without it, and of those that are absent, boxes are those of the
                latents.
        """
        boxes = objects.boxes.float() * self.config.pixel_size
        if drawn is None:
            return boxes
        some = first_rows(objects.presence > 0)[..., None]
        fitted = drawn_boxes(boxes.take_along_dim(some, 1), drawn)
        return boxes.scatter(1, some.expand_as(fitted), fitted)

    @torch.no_grad()
    def reconstruct(self, video: Tensor) -> tuple[list[Objects], Tensor]:
        """Objects and reconstruction of each frame of a video (B, T, 3, height, width)."""
        objects, tracked = None, []
        for frame in video.unbind(1):
            objects = self.step(frame, objects, drawn=is_drawn(frame)).objects
            tracked.append(objects)
        frames = [self.render(o, *video.shape[-2:]) for o in tracked]
        return tracked, torch.stack(frames, 1)
