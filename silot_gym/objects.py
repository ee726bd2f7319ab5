"""The K tracked objects of B streams, the one type that travels from frame to frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Objects:
    """Objects of B independent streams, K slots each (section 3.2 of the paper).

    An empty slot has presence 0; its other attributes mean nothing. Pixels are the model's, which
    may be larger than the frame's (`ModelConfig.pixel_size`); `SILOT.boxes` has the frame's.

    Attributes:
        position: (B, K, 2) float, centre (x, y) in pixels.
        anchor: (B, K, 2) float, width and height in pixels of the largest object of its scale.
        size_logit: (B, K, 2) float, logit of (width, height) over the anchor.
        what: (B, K, A) float, appearance.
        depth_logit: (B, K) float, logit of the depth; nearer objects have larger ones.
        presence: (B, K) float in [0, 1].
        hidden: (B, K, R) float, recurrent state.
        track_id: (B, K) int64, the object's identity within its stream; -1 for none.
    """

    position: Tensor
    anchor: Tensor
    size_logit: Tensor
    what: Tensor
    depth_logit: Tensor
    presence: Tensor
    hidden: Tensor
    track_id: Tensor

    @classmethod
    def empty(
        cls, batch: int, num_slots: int, what_dim: int, hidden_dim: int, device: torch.device
    ) -> "Objects":
        """`num_slots` empty slots for each of `batch` streams."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(batch, num_slots, *shape, device=device)

        return cls(
            position=zeros(2),
            anchor=zeros(2) + 1,
            size_logit=zeros(2),
            what=zeros(what_dim),
            depth_logit=zeros(),
            presence=zeros(),
            hidden=zeros(hidden_dim),
            track_id=torch.full((batch, num_slots), -1, device=device),
        )

    @property
    def depth(self) -> Tensor:
        """(B, K) in (0, 1), larger is nearer."""
        return bounded_sigmoid(self.depth_logit)

    @property
    def size(self) -> Tensor:
        """(B, K, 2) width and height in pixels, in (0, anchor)."""
        return bounded_sigmoid(self.size_logit) * self.anchor

    @property
    def boxes(self) -> Tensor:
        """(B, K, 4) boxes (x0, y0, x1, y1) in pixels, as large as `size`."""
        half = self.size / 2
        return torch.cat([self.position - half, self.position + half], -1)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Objects":
        """The objects with `function` applied to each attribute."""
        return Objects(*(function(getattr(self, field.name)) for field in fields(self)))

    def zip(self, other: "Objects", function: Callable[[Tensor, Tensor], Tensor]) -> "Objects":
        """The objects with `function` applied to each pair of attributes of self and other."""
        return Objects(
            *(function(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        )

    def rescaled(self, factor: float) -> "Objects":
        """The same objects in a picture that is `factor` times as large."""
        return replace(self, position=self.position * factor, anchor=self.anchor * factor)

    def masked(self, kept: Tensor) -> "Objects":
        """The same objects, of which only some, (B, K) of 1 and 0, are present."""
        return replace(self, presence=self.presence * kept)

    def take(self, slots: Tensor) -> "Objects":
        """The objects of some slots (B, N) of each stream."""

        def gather(value: Tensor) -> Tensor:
            index = slots.view(*slots.shape, *[1] * (value.dim() - 2))
            return value.gather(1, index.expand(-1, -1, *value.shape[2:]))

        return self.map(gather)

    def put(self, slots: Tensor, objects: "Objects") -> "Objects":
        """The same with `objects` (B, N) in some slots (B, N) of each stream, no slot twice."""

        def scatter(old: Tensor, new: Tensor) -> Tensor:
            index = slots.view(*slots.shape, *[1] * (old.dim() - 2))
            return old.scatter(1, index.expand(-1, -1, *old.shape[2:]), new.to(old.dtype))

        return self.zip(objects, scatter)

    def forget(self, streams: Tensor) -> "Objects":
        """The objects, with all slots of some streams, (B,) bool, empty."""
        batch, slots = self.presence.shape
        what_dim, hidden_dim = self.what.shape[-1], self.hidden.shape[-1]
        empty = Objects.empty(batch, slots, what_dim, hidden_dim, self.presence.device)
        return self.zip(
            empty, lambda old, new: new.where(streams.view(-1, *[1] * (new.dim() - 1)), old)
        )

    @staticmethod
    def concatenate(parts: "Sequence[Objects]", dim: int = 0) -> "Objects":
        """The streams of all parts, in their order; with `dim` 1 the slots of all parts."""
        return Objects(
            *(torch.cat([getattr(part, f.name) for part in parts], dim) for f in fields(Objects))
        )


def compact_indices(mask: Tensor) -> Tensor:
    """Indices (B, N) of which each stream's true ones in `mask`, (B, M) bool, come first, in order.

    N is the largest number of true ones in a stream. Streams with fewer are filled up with indices
    of false ones. On a GPU the host waits for the result.
    """
    count = int(mask.sum(1).max())
    return mask.int().argsort(dim=1, descending=True, stable=True)[:, :count]


def bounded_sigmoid(logit: Tensor) -> Tensor:
    """Logistic function of a logit limited to [-10, 10], where its gradient is still alive."""
    return logit.clamp(-10, 10).sigmoid()
