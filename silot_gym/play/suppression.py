"""Objects that are there twice, or that are a fragment of another one."""

from dataclasses import replace

import torch
from torch import Tensor

from silot_gym.model.selection import non_maximum
from silot_gym.objects import Objects


def suppress_fragments(
    objects: Objects, boxes: Tensor, overlap: float, min_presence: float
) -> Objects:
    """The same objects without those that were just discovered on a tracked one: a boxer's arm.

    Args:
        objects: (B, K); those without a `track_id` were just discovered.
        boxes: (B, K, 4) of them.
        overlap: share of a discovered object's box from which on it is a fragment.
        min_presence: presence of a tracked object from which on it has fragments.
    """
    tracked = (objects.track_id >= 0) & (objects.presence >= min_presence)
    begin, end = boxes[..., :2], boxes[..., 2:]
    shared = torch.minimum(end[:, :, None], end[:, None])
    shared = (shared - torch.maximum(begin[:, :, None], begin[:, None])).clamp(min=0).prod(-1)
    inside = shared > overlap * (end - begin).prod(-1)[:, :, None]  # (B, K, K)
    fragment = (objects.track_id < 0) & (inside & tracked[:, None]).any(-1)
    return replace(objects, presence=objects.presence.masked_fill(fragment, 0))


def suppress_duplicates(objects: Objects, boxes: Tensor, iou: float) -> Objects:
    """The same objects without those whose box (B, K, 4) overlaps a more present one's by `iou`."""
    duplicate = non_maximum(boxes, objects.presence, iou)
    return replace(objects, presence=objects.presence.masked_fill(duplicate, 0))
