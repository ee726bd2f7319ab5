"""Tracks that propagation has lost and discovery has found."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from silot_gym.linking import closest_pairs
from silot_gym.objects import Objects


def relink(
    objects: Objects, previous: Objects, threshold: float, max_distance: float
) -> tuple[Objects, Tensor]:
    """Objects in which one that was lost goes on as one that was found nearby at the same time.

    Propagation looks for an object where it is expected. One that jumps further is lost there, and
    found by discovery, in the same step.

    Args:
        objects: (B, K) of this step; those without a `track_id` are new.
        previous: (B, K) of the last step.
        threshold: presence from which on a slot counts as an object.
        max_distance: largest distance between the two places, in the model's pixels.

    Returns:
        The objects with each found one in the slot of the lost one that it continues, under its
        `track_id`; what was in that slot changes places with it, and has no id if it is what was
        left of the lost one. And the slots (B, K) that they were in.
    """
    device = objects.presence.device
    present = objects.presence >= threshold
    # Presence never rises in propagation: without an id, a present object was just discovered.
    found = present & (objects.track_id < 0)
    went_on = present & (objects.track_id == previous.track_id)
    lost = (previous.presence >= threshold) & ~went_on
    source = np.tile(np.arange(objects.presence.shape[1]), (len(objects.presence), 1))
    lanes = (lost.any(1) & found.any(1)).nonzero().flatten().tolist()
    if not lanes:
        return objects, torch.from_numpy(source).to(device)
    track_id, identities = (o.track_id.numpy(force=True).copy() for o in (objects, previous))
    now, before = (o.position.numpy(force=True) for o in (objects, previous))
    were, are = lost.numpy(force=True), found.numpy(force=True)
    for lane in lanes:
        old, new = were[lane].nonzero()[0], are[lane].nonzero()[0]
        away = np.linalg.norm(before[lane, old, None] - now[lane, new], axis=-1)
        for i, j in zip(*closest_pairs(away, max_distance), strict=True):
            slot, row = old[i], new[j]
            identity = identities[lane, slot]
            track_id[lane, track_id[lane] == identity] = -1
            track_id[lane, row] = identity
            here = source[lane] == row
            source[lane, here], source[lane, slot] = source[lane, slot], row
    swapped = torch.from_numpy(source).to(device)
    return replace(objects, track_id=torch.from_numpy(track_id).to(device)).take(swapped), swapped
