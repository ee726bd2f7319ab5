"""SILOT: Spatially Invariant, Label-free Object Tracking (Crawford and Pineau, AAAI 2020)."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from silot_gym.model.config import ModelConfig
from silot_gym.model.discovery import Discovery
from silot_gym.model.latents import NOT_FROZEN, Frozen, Latents
from silot_gym.model.propagation import Propagation, RecurrentState
from silot_gym.model.rendering import Renderer, downsample
from silot_gym.model.selection import select
from silot_gym.objects import Objects, compact_indices


@dataclass(frozen=True)
class StepOutput:
    """What one time step yields.

    Attributes:
        objects: (B, K) the selected objects o(t).
        previous: (B, N) the active objects of the last frame, o(t - 1).
        propagated: (B, N) the same objects in this frame.
        propagated_latents: (B, N) the distribution that they were drawn from.
        discovered: (B, C) one object for each cell; None where discovery was left out.
        discovered_latents: (B, C) the distribution that they were drawn from; None likewise.
    """

    objects: Objects
    previous: Objects
    propagated: Objects
    propagated_latents: Latents
    discovered: Objects | None = None
    discovered_latents: Latents | None = None


class SILOT(nn.Module):
    """The whole model. `step` is all that happens in a time step.

    In training mode latents are drawn; in evaluation mode they are their means, and presence is its
    median.
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
        """The objects before the first frame, in each of `batch` streams: none."""
        config = self.config
        device = self.discovery.initial_hidden.device
        slots = config.num_slots if num_slots is None else num_slots
        return Objects.empty(batch, slots, config.what_dim, config.hidden_dim, device)

    def downsample(self, frame: Tensor) -> Tensor:
        """A frame (..., 3, height, width) to an image in the model's pixels."""
        return downsample(frame, self.config.pixel_size)

    def without_faint(self, objects: Objects) -> Objects:
        """Objects of which those that are hardly present are absent: presence never rises again."""
        return objects.masked(objects.presence >= self.config.faint_presence)

    def active_slots(self, objects: Objects) -> Tensor:
        """Indices (B, N) of slots with all that hold an object, N as the fullest stream needs."""
        return compact_indices(objects.presence >= self.config.faint_presence)

    def step(
        self,
        frame: Tensor,
        previous: Objects,
        *,
        active: Tensor | None = None,
        discover: bool = True,
        frozen: Frozen = NOT_FROZEN,
    ) -> StepOutput:
        """Objects of the last frame and a frame to the objects of this frame (section 3.1).

        Args:
            frame: (B, 3, height, width) in [0, 1]; height and width are free.
            previous: (B, K) objects of the last frame; `empty_objects` before the first.
            active: (B, N) the slots to process, among them all that hold an object
                (`active_slots`). The others become empty. All K if not given.
            discover: whether to look for objects that are not tracked yet.
            frozen: the decisions that are not left to the networks.
        """
        image = self.downsample(frame)
        previous = self.without_faint(previous)
        before = previous if active is None else previous.take(active)
        propagated, latents = self.propagate(before, image, frozen)
        kept = propagated
        if active is not None:
            kept = previous.masked(previous.presence.new_zeros(1)).put(active, propagated)
        if not discover:
            return StepOutput(kept, before, propagated, latents)
        discovered, discovered_latents = self.discovery(image, propagated, frozen)
        objects, _ = select(kept, discovered, self.config.nms_iou)
        return StepOutput(objects, before, propagated, latents, discovered, discovered_latents)

    def propagate(
        self, previous: Objects, image: Tensor, frozen: Frozen = NOT_FROZEN
    ) -> tuple[Objects, Latents]:
        """Objects (B, N) of the last frame to the same objects in an image (section 3.4)."""
        propagated, latents = self.propagation(previous, image, frozen)
        hidden = self.recurrence(previous, propagated)
        return replace(propagated, hidden=hidden), latents

    def predict(self, previous: Objects) -> Objects:
        """The next state of objects as the learned prior has it, without a frame (section 3.8)."""
        predicted: Objects = self.propagation_prior(previous)[0]
        return replace(predicted, hidden=self.recurrence(previous, predicted))

    def render(self, objects: Objects, height: int, width: int) -> Tensor:
        """Frames (B, 3, height, width) in [0, 1] of objects (B, K) (section 3.6)."""
        size = self.config.pixel_size
        image = self.renderer(objects, -(-height // size), -(-width // size))
        frame: Tensor = image.repeat_interleave(size, -1).repeat_interleave(size, -2)
        return frame[..., :height, :width]

    def boxes(self, objects: Objects) -> Tensor:
        """Boxes (B, K, 4) of objects, (x0, y0, x1, y1) in the frame's pixels."""
        return objects.boxes.float() * self.config.pixel_size
