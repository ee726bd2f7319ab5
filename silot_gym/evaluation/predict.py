"""What a model makes of held-out clips, in the form that is scored."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.tracks import Tracks
from silot_gym.model.rendering import is_drawn
from silot_gym.objects import Objects


@torch.no_grad()
def predict(
    checkpoint: Checkpoint,
    clips: Sequence[NDArray[np.uint8]],
    *,
    num_slots: int = 128,
    batch: int = 8,
    unseen_from: int | None = None,
    progress: bool = False,
) -> list[Tracks]:
    """Track the objects of clips, each from its first frame on.

    Args:
        checkpoint: the model.
        clips: each (T, height, width, 3) uint8, all of one shape.
        num_slots: K; 128 in the paper's evaluation on Atari.
        batch: clips that are tracked side by side.
        unseen_from: the frame from which on the learned prior predicts without seeing frames (3
            in the paper); None for never.
        progress: whether to show a progress bar.

    Returns:
        The tracks of each clip, with every slot's presence as confidence.
    """
    tracks: list[Tracks] = []
    for first in tqdm(range(0, len(clips), batch), "tracking", disable=not progress):
        frames = np.stack(clips[first : first + batch])
        steps = list(follow(checkpoint, frames, num_slots, unseen_from))
        boxes = np.stack([boxes for _, boxes in steps], 1)
        identity = np.stack([objects.track_id.cpu().numpy() for objects, _ in steps], 1)
        presence = np.stack([objects.presence.cpu().numpy() for objects, _ in steps], 1)
        tracks += [Tracks(*clip) for clip in zip(boxes, identity, presence, strict=True)]
    return tracks


@torch.no_grad()
def follow(
    checkpoint: Checkpoint,
    frames: NDArray[np.uint8],
    num_slots: int,
    unseen_from: int | None = None,
) -> Iterator[tuple[Objects, NDArray[np.float32]]]:
    """Objects (B, K) and boxes (B, K, 4) of each frame of clips (B, T, height, width, 3).

    Every slot has an id.
    """
    model = checkpoint.model
    device = model.discovery.initial_hidden.device
    objects = model.empty_objects(len(frames), num_slots)
    for t in range(frames.shape[1]):
        if unseen_from is not None and t >= unseen_from:
            objects = model.predict(objects)
            boxes: Tensor | None = model.boxes(objects)
        else:
            frame = checkpoint.frames.prepare(torch.from_numpy(frames[:, t]).to(device))
            output = model.step(frame, objects, drawn=is_drawn(frame))
            objects, boxes = output.objects, output.boxes
            fresh = t * num_slots + torch.arange(num_slots, device=device)
            identity = fresh.where(objects.track_id < 0, objects.track_id)
            objects = replace(objects, track_id=identity)
        assert boxes is not None  # this is play
        yield objects, boxes.cpu().numpy()
