"""Objects from colour alone: the paper's source of truth on Atari, and its baseline ConnComp.

Both take a connected region of one colour for an object and link regions over time. They differ in
what connects two pixels, in the margin of the boxes and in how far an object may step. Everything
drawn counts, score digits and lives included: crop them off where the protocol does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

from silot_gym.background import Colour, to_packed
from silot_gym.evaluation.tracks import Tracks
from silot_gym.linking import closest_pairs

AROUND = 0.5
"""Pixels between an object and its box in the truth of `annotate`."""


def annotate(frames: NDArray[np.uint8], background: Colour = (0, 0, 0)) -> Tracks:
    """Annotates a clip as the paper's authors did for Table 1 (section 4.3, and their code).

    The pixels of one exact colour are dilated once by [[0, 1], [1, 1]], which grows each by a pixel
    to the right and one downwards; a region of the result that hangs together over edges or corners
    is an object. Objects of one colour therefore merge across a gap of one pixel, roughly. Boxes
    are half a pixel larger than the object on each side, a whole pixel in width and height, and
    centred on it. (Dilation stops at the frame, as theirs does: at the right and the bottom, the
    box of an object that touches the frame ends half a pixel inside.)

    Identities: between consecutive frames, the one-to-one assignment of objects of the same colour
    with the smallest sum of distances between box centres, however far. What is left over is new.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        background: The colour that belongs to no object.

    Returns:
        Tracks with confidence 1, boxes in pixels of the frames.

    Raises:
        ValueError: If `frames` is not such an array, or T is 0.
    """
    regions = [
        _regions(colours, background, connectivity=8, dilate=True) for colours in _pack(frames)
    ]
    return _linked(regions, max_step=np.inf)


def connected_components(
    frames: NDArray[np.uint8],
    background: Colour = (0, 0, 0),
    *,
    connectivity: Literal[4, 8] = 8,
    max_step: float = 30.0,
) -> Tracks:
    """The paper's baseline ConnComp: tight boxes around regions of one colour, linked over time.

    Pixels belong together if they touch and have exactly the same colour. (The paper says
    "similarly-colored" and tunes a tolerance; a console with 128 colours needs none.) Identities
    are found as in `annotate`, but an object moves `max_step` pixels at most between two frames.
    Sprites drawn with gaps fall apart, which `annotate` avoids by dilation.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        background: The colour that belongs to no object.
        connectivity: 4 if pixels touch by edges only, as in the authors' code; 8 if by corners too,
            without which diagonal strokes fall apart, and most sprites with them.
        max_step: Largest distance, in pixels, between the centres of an object in two frames.

    Returns:
        Tracks with confidence 1, boxes in pixels of the frames.

    Raises:
        ValueError: If `frames` is not such an array, or T is 0.
    """
    regions = [
        _regions(colours, background, connectivity=connectivity, dilate=False)
        for colours in _pack(frames)
    ]
    return _linked(regions, max_step)


@dataclass(frozen=True)
class _Regions:
    """The objects of one frame: boxes (N, 4) float64, and the packed colour (N,) of each."""

    boxes: NDArray[np.float64]
    colour: NDArray[np.int32]


def _pack(frames: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number a pixel, (T, H, W), so that a colour is compared at once."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(
            f"expected uint8 RGB frames (T, H, W, 3), T >= 1, got {frames.dtype} {frames.shape}"
        )
    return to_packed(frames)


def _regions(
    colours: NDArray[np.int32], background: Colour, *, connectivity: Literal[4, 8], dilate: bool
) -> _Regions:
    """The connected regions of each colour of one frame, tight or with half a pixel around them."""
    red, green, blue = background
    present = np.unique(colours)
    masks = colours == present[:, None, None]  # (C, H, W)
    masks[present == (red << 16 | green << 8 | blue)] = False
    if dilate:
        tight = masks.copy()
        masks[:, 1:] |= tight[:, :-1]
        masks[:, :, 1:] |= tight[:, :, :-1]
    # One labelling for all colours: the masks are layers of a volume that don't touch each other.
    touching = np.zeros((3, 3, 3), bool)
    touching[1] = ndimage.generate_binary_structure(2, {4: 1, 8: 2}[connectivity])
    labels, _ = ndimage.label(masks, structure=touching)
    extents = ndimage.find_objects(labels)
    layers = np.array([layer.start for layer, _, _ in extents], np.intp)
    edges = [(x.start, y.start, x.stop, y.stop) for _, y, x in extents]
    boxes = np.array(edges, np.float64).reshape(-1, 4)
    if dilate:
        # A pixel more on the right and at the bottom becomes half a pixel more on every side.
        boxes -= AROUND
    return _Regions(boxes, present[layers])


def link(
    boxes: Sequence[NDArray[np.floating[Any]]],
    max_step: float = np.inf,
    kinds: Sequence[NDArray[np.integer[Any]]] | None = None,
) -> Tracks:
    """Gives identities to boxes that were found frame by frame.

    Between consecutive frames, the one-to-one assignment with the smallest sum of distances between
    box centres; what is left over is new. An object that is missing from one frame comes back as
    another.

    Args:
        boxes: (N_t, 4) boxes of each of T frames, T >= 1, in pixels.
        max_step: Largest distance, in pixels, between the centres of an object in two frames.
        kinds: (N_t,) numbers of each frame; only boxes of equal number are linked.

    Returns:
        Tracks with confidence 1; the boxes keep their places within each frame.
    """
    centres = [(frame[:, :2] + frame[:, 2:]) / 2 for frame in boxes]
    identities = [np.arange(len(boxes[0]))]
    next_id = len(boxes[0])
    for t in range(1, len(boxes)):
        distances = cdist(centres[t], centres[t - 1])
        if kinds is not None:
            distances[kinds[t][:, None] != kinds[t - 1]] = np.inf
        rows, columns = closest_pairs(distances, max_step)
        current = np.full(len(boxes[t]), -1)
        current[rows] = identities[-1][columns]
        born = np.flatnonzero(current < 0)
        current[born] = next_id + np.arange(len(born))
        next_id += len(born)
        identities.append(current)
    return Tracks.from_frames(boxes, identities)


def _linked(regions: Sequence[_Regions], max_step: float) -> Tracks:
    """The regions of successive frames, those of one colour linked."""
    return link([frame.boxes for frame in regions], max_step, [frame.colour for frame in regions])
