"""Backgrounds of frames whose scenes are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from silot_gym.background import Background, pack_colours, unpack_colours
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.memory_truth import load_memory_truth

TRUTH = Path(__file__).parents[1] / "benchmarks" / "data"
SIZE = (20, 30)
RED, BLUE, WALL, OTHER = (200, 0, 0), (0, 0, 90), (90, 90, 90), (10, 120, 60)


def room(*walls: slice, ground: tuple[int, int, int] = BLUE) -> NDArray[np.uint8]:
    """A picture of one colour with rows of wall."""
    picture = np.full((*SIZE, 3), ground, np.uint8)
    for wall in walls:
        picture[wall] = WALL
    return picture


FIRST, SECOND = room(slice(0, 4)), room(slice(12, 18))


def packed(*frames: NDArray[np.uint8]) -> torch.Tensor:
    return pack_colours(torch.from_numpy(np.stack(frames)))


def with_ball(frame: NDArray[np.uint8], x: int) -> NDArray[np.uint8]:
    frame = frame.copy()
    frame[8:11, x : x + 3] = RED
    return frame


def ball_at(x: int) -> torch.Tensor:
    drawn = torch.zeros(SIZE, dtype=torch.bool)
    drawn[8:11, x : x + 3] = True
    return drawn


def test_packed_colours_come_back() -> None:
    rng = np.random.default_rng(0)
    colours = torch.from_numpy(rng.integers(0, 256, (4, 50, 60, 3), np.uint8))
    one_each = pack_colours(colours)
    assert one_each.shape == (4, 50, 60)
    assert torch.equal(unpack_colours(one_each), colours)


def test_each_frame_is_compared_with_the_picture_of_its_own_scene() -> None:
    background = Background.of([BLUE], [FIRST, SECOND])
    frames = packed(with_ball(SECOND, 3), with_ball(FIRST, 20), SECOND)
    drawn = background.foreground(frames)
    assert torch.equal(drawn[0], ball_at(3))
    assert torch.equal(drawn[1], ball_at(20))
    assert not drawn[2].any()
    assert torch.equal(background.behind(frames), packed(SECOND, FIRST, SECOND))


def test_removed_background_has_one_colour() -> None:
    background = Background.of([BLUE], [FIRST, SECOND])
    frames = np.stack([with_ball(SECOND, 3), with_ball(FIRST, 20)])
    removed = background.removed(frames)
    assert np.array_equal(removed, np.stack([with_ball(room(), 3), with_ball(room(), 20)]))


def test_all_colours_of_a_background_that_scrolls_are_nothing() -> None:
    background = Background.of([BLUE, WALL])
    for top in range(16):
        frame = with_ball(room(slice(top, top + 4)), 5)
        assert torch.equal(background.foreground(packed(frame))[0], ball_at(5))


@pytest.mark.parametrize("pictures", [[], [FIRST], [FIRST, SECOND]])
def test_what_is_near_to_the_background_is_background(pictures: list[NDArray[np.uint8]]) -> None:
    background = Background.of([BLUE], pictures, tolerance=3)
    frame = with_ball(pictures[-1] if pictures else room(), 12).astype(np.int16)
    rng = np.random.default_rng(0)
    noise = rng.integers(-3, 4, frame.shape)
    noise[0, 0] = 0
    noisy = (frame + noise).clip(0, 255).astype(np.uint8)
    assert torch.equal(background.foreground(packed(noisy))[0], ball_at(12))
    for channel in range(3):
        spoiled = noisy.copy()
        spoiled[0, 0, channel] += 4
        expected = ball_at(12)
        expected[0, 0] = True
        assert torch.equal(background.foreground(packed(spoiled))[0], expected)


def test_noise_does_not_hide_which_scene_it_is() -> None:
    background = Background.of([BLUE], [FIRST, SECOND], tolerance=2)
    rng = np.random.default_rng(0)
    for number, picture in enumerate((FIRST, SECOND)):
        noisy = (picture + rng.integers(1, 3, picture.shape)).astype(np.uint8)
        assert background.scene(packed(noisy)).item() == number


@pytest.mark.parametrize("game", ["Boxing", "Carnival", "Freeway", "MsPacman", "Pong"])
def test_exact_frames_have_the_foreground_that_they_have_without_tolerance(game: str) -> None:
    background = Checkpoint.load(game).frames.background
    assert background.tolerance > 0
    truth = load_memory_truth(TRUTH / f"{game}.npz")
    frames = packed(*truth.palette[truth.frames[:, ::16]].reshape(-1, *truth.frames.shape[2:], 3))
    for tolerant in (background, background.with_static()):
        exact = replace(tolerant, tolerance=0)
        assert torch.equal(tolerant.foreground(frames), exact.foreground(frames))
        assert torch.equal(tolerant.behind(frames), exact.behind(frames))
