"""Selection: the K objects that are most surely present, each in a slot of its own."""

import torch
from torch import Tensor

from silot_gym.objects import Objects


def select(propagated: Objects, discovered: Objects) -> Objects:
    """The most present of the propagated and discovered objects (section 3.5 of the paper).

    A propagated object that is kept keeps its slot; the slots of the others are filled with
    discovered objects in the order of their cells. Ties go to the propagated.

    Args:
        propagated: objects (B, K).
        discovered: objects (B, C).

    Returns:
        Objects (B, K). Discovered ones have `track_id` -1.
    """
    source = _source(propagated.presence.detach(), discovered.presence.detach())

    def pick(old: Tensor, new: Tensor) -> Tensor:
        pool = torch.cat([old, new], 1)
        index = source.view(*source.shape, *[1] * (pool.dim() - 2))
        return pool.gather(1, index.expand(-1, -1, *pool.shape[2:]))

    return propagated.zip(discovered, pick)


def _source(propagated: Tensor, discovered: Tensor) -> Tensor:
    """For each slot, (B, K), the row of the pool (propagated, then discovered) that fills it."""
    num_slots = propagated.shape[1]
    order = torch.cat([propagated, discovered], 1).argsort(dim=1, descending=True, stable=True)
    chosen = torch.zeros_like(order, dtype=torch.bool)
    chosen = chosen.scatter(1, order[:, :num_slots], True)
    kept, new = chosen[:, :num_slots], chosen[:, num_slots:]
    newcomers = new.int().argsort(dim=1, descending=True, stable=True)
    rank = ((~kept).cumsum(1) - 1).clamp(0, newcomers.shape[1] - 1)
    slots = torch.arange(num_slots, device=order.device).expand_as(kept)
    return slots.where(kept, num_slots + newcomers.gather(1, rank))
