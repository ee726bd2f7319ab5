import numpy as np
import pytest
import torch

from silot_gym.frames import FrameConfig
from silot_gym.rollouts import Episode
from silot_gym.training.clips import ClipSampler, common_colour

PALETTE = np.array([[0, 0, 0], [200, 0, 0], [0, 150, 30]], np.uint8)
FRAMES = FrameConfig("Pong", 40, 50)


def episode(length: int = 12) -> Episode:
    """Mostly black; a red pixel that moves right, and one green pixel in the last frame."""
    frames = np.zeros((length, 40, 50), np.uint8)
    for t in range(length):
        frames[t, 20, 5 + 3 * t] = 1
    frames[-1, 35, 2] = 2
    return Episode(frames, PALETTE, np.zeros(length, np.int64))


def test_every_crop_shows_something_at_the_true_place_in_time() -> None:
    sampler = ClipSampler([episode()], 16)
    clips = sampler.draw(np.random.default_rng(0), 64, 2, FRAMES)
    assert clips.shape == (64, 2, 3, 16, 16)
    assert clips.dtype == torch.float32
    assert (clips.amax((1, 2, 3, 4)) > 0).all()
    red = clips[:, :, 0] > 0.7
    for clip in red:
        columns = clip.nonzero()
        if len(columns) == 2:
            assert (columns[1, 2] - columns[0, 2]).item() == 3


def test_rare_colours_are_seen_as_often_as_common_ones() -> None:
    frames = np.zeros((1, 40, 50), np.uint8)
    frames[0, :10, :20] = 1
    frames[0, 38, 48] = 2
    sampler = ClipSampler([Episode(frames, PALETTE, np.zeros(1, np.int64))], 8)
    clips = sampler.draw(np.random.default_rng(0), 400, 1, FRAMES)
    green = (clips[:, 0, 1] > 0.5).flatten(1).any(1).float().mean().item()
    assert 0.4 < green < 0.6


def test_the_same_generator_gives_the_same_clips() -> None:
    sampler = ClipSampler([episode(), episode(8)], 16)
    first, second = (sampler.draw(np.random.default_rng(3), 4, 2, FRAMES) for _ in range(2))
    assert torch.equal(first, second)


def test_an_empty_screen_gives_clips_too() -> None:
    blank = Episode(np.zeros((4, 40, 50), np.uint8), PALETTE, np.zeros(4, np.int64))
    clips = ClipSampler([blank], 16).draw(np.random.default_rng(0), 3, 2, FRAMES)
    assert not clips.any()


def test_crops_and_clips_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no larger than the frames of 50 x 40, got 72"):
        ClipSampler([episode()], 72)
    with pytest.raises(ValueError, match="an episode of 13 frames or more, the longest has 12"):
        ClipSampler([episode()], 16).draw(np.random.default_rng(0), 1, 13, FRAMES)


def test_the_background_is_the_most_common_colour_and_is_seen_as_black() -> None:
    frames = np.full((3, 40, 50), 2, np.uint8)
    frames[:, 4, 5] = 1
    still = Episode(frames, PALETTE, np.zeros(3, np.int64))
    background = common_colour([still])
    assert background == (0, 150, 30)
    seen = FrameConfig("Pong", 40, 50, background=background).prepare(torch.from_numpy(still.rgb()))
    assert seen.shape == (3, 3, 40, 50)
    assert seen.sum().item() == pytest.approx(3 * 200 / 255)
