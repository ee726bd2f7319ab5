import pytest
import torch
from torch import Tensor

from silot_gym.play.foreground import fit_boxes, touched_pixels

PART_SHARE = 0.35


def fitted(boxes: Tensor, foreground: Tensor) -> Tensor:
    """Boxes (B, N, 4) around the foreground (B, height, width) in them."""
    first, count = touched_pixels(boxes, *foreground.shape[1:])
    offset = torch.arange(max(1.0, float(count.max())))
    return fit_boxes(boxes, foreground.view(torch.uint8), first, count, offset, PART_SHARE)


def shown(*rectangles: tuple[slice, slice]) -> Tensor:
    """A picture (1, 30, 40) of rectangles (rows, columns)."""
    picture = torch.zeros(1, 30, 40, dtype=torch.bool)
    for rows, columns in rectangles:
        picture[0, rows, columns] = True
    return picture


def box_in(picture: Tensor, *box: float) -> list[float]:
    """What a box of one object becomes."""
    return fitted(torch.tensor(box)[None, None], picture)[0, 0].tolist()


def test_a_loose_box_becomes_that_of_the_rectangle_in_it() -> None:
    picture = shown((slice(8, 15), slice(20, 24)), (slice(0, 5), slice(0, 40)))
    assert box_in(picture, 16.3, 5.0, 29.1, 21.4) == [20, 8, 24, 15]


def test_a_tight_box_reaches_to_the_ends_of_the_pixels_that_it_touches() -> None:
    picture = shown((slice(8, 15), slice(20, 24)))
    assert box_in(picture, 21.9, 9.5, 22.1, 13.2) == [21, 9, 23, 14]


def test_a_trace_on_the_background_is_no_part_of_the_object() -> None:
    """As where a fast car was a moment ago."""
    assert box_in(shown((slice(3, 9), slice(10, 16))), 10, 3, 22, 9) == [10, 3, 16, 9]


@pytest.mark.parametrize("gap", [1, 3])
def test_little_things_beyond_a_gap_are_left_out_and_large_ones_are_not(gap: int) -> None:
    one = (slice(8, 14), slice(10, 16))
    dot = (slice(10, 12), slice(16 + gap, 18 + gap))
    stripe = (slice(8, 14), slice(16 + gap, 20 + gap))
    assert box_in(shown(one, dot), 9, 7, 23, 15) == [10, 8, 16, 14]
    assert box_in(shown(one, stripe), 9, 7, 23, 15) == [10, 8, 20 + gap, 14]


def test_a_box_that_touches_nothing_stays() -> None:
    picture = shown((slice(8, 14), slice(10, 16)))
    for box in ([20.5, 3.25, 28.0, 9.5], [-9.5, -7.0, -1.5, -2.0], [40.0, 29.5, 55.0, 33.0]):
        assert box_in(picture, *box) == box


def test_fitted_boxes_equal_an_explicit_loop() -> None:
    """Of boxes in, across and beyond the frame, each in the frame of its own stream."""
    torch.manual_seed(0)
    pictures = torch.rand(3, 30, 40) < 0.05
    first = torch.rand(3, 60, 2) * torch.tensor([60.0, 50.0]) - 10
    boxes = torch.cat([first, first + 12 * torch.rand(3, 60, 2)], -1)
    found = fitted(boxes, pictures)
    changed = 0
    for stream in range(3):
        for box, tight in zip(boxes[stream].tolist(), found[stream].tolist(), strict=True):
            pixels = [
                (x, y)
                for y in range(30)
                for x in range(40)
                if pictures[stream, y, x]
                and x + 1 > box[0]
                and x < box[2]
                and y + 1 > box[1]
                and y < box[3]
            ]
            expected = box
            if pixels:
                changed += 1
                ends = [large_parts([pixel[axis] for pixel in pixels]) for axis in (0, 1)]
                expected = [min(ends[0]), min(ends[1]), max(ends[0]) + 1, max(ends[1]) + 1]
            assert tight == expected
    assert changed > 60


def large_parts(places: list[int]) -> set[int]:
    """Those of the places along an axis, one a pixel, that are in runs with many pixels."""
    runs: list[list[int]] = []
    for place in sorted(places):
        if not runs or place > runs[-1][-1] + 1:
            runs.append([])
        runs[-1].append(place)
    most = max(len(run) for run in runs)
    return {place for run in runs if len(run) >= PART_SHARE * most for place in run}
