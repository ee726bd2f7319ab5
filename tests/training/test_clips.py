import numpy as np
import pytest
import torch

from silot_gym.background import Background
from silot_gym.frames import FrameConfig
from silot_gym.rollouts import Episode
from silot_gym.training.clips import ClipSampler

PALETTE = np.array([[0, 0, 0], [200, 0, 0], [0, 150, 30]], np.uint8)
FRAMES = FrameConfig("Pong", 40, 50)

FLOOR = FrameConfig("Pong", 1, 1).brightness_floor


def episode(length: int = 12) -> Episode:
    """Mostly black; a red pixel that moves right, and one green pixel in the last frame."""
    frames = np.zeros((length, 40, 50), np.uint8)
    for t in range(length):
        frames[t, 20, 5 + 3 * t] = 1
    frames[-1, 35, 2] = 2
    return Episode(frames, PALETTE, np.zeros(length, np.int64))


def test_every_crop_shows_something_at_the_true_place_in_time() -> None:
    sampler = ClipSampler([episode()], FRAMES, 16)
    clips = sampler.draw(np.random.default_rng(0), 64, 2)
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
    sampler = ClipSampler([Episode(frames, PALETTE, np.zeros(1, np.int64))], FRAMES, 8)
    clips = sampler.draw(np.random.default_rng(0), 400, 1)
    green = (clips[:, 0, 1] > 0.5).flatten(1).any(1).float().mean().item()
    assert 0.4 < green < 0.6


@pytest.mark.parametrize("length", [2, 3])
def test_where_most_changes_is_seen_often(length: int) -> None:
    """An object that moves by a pixel a frame, and in one frame of 300 jumps."""
    frames = np.zeros((300, 40, 50), np.uint8)
    for t in range(300):
        x = t % 20 + (10 if t >= 140 else 0)
        frames[t, 10:15, x : x + 5] = 1
    short = Episode(frames[:1], PALETTE, np.zeros(1, np.int64))  # has no clip
    film = Episode(frames, PALETTE, np.zeros(300, np.int64))
    sampler = ClipSampler([short, film], FRAMES, 16)
    places = sampler.places(np.random.default_rng(0), 2000, length)
    assert (places[:, 0] == 1).all()
    assert (places[:, 1] >= 0).all() and (places[:, 1] + length <= 300).all()
    first, last = places[:, 1], places[:, 1] + length - 1
    jumps = [*range(20, 300, 20)]  # back to the left
    eventful = np.mean([any(a < t <= b for t in jumps) for a, b in zip(first, last, strict=True)])
    assert 0.25 < eventful < 0.4


def test_what_moves_is_seen_more_often_than_as_much_that_stands_still() -> None:
    """A pixel that moves under a hundred of its colour that stand still."""
    frames = np.zeros((40, 40, 50), np.uint8)
    frames[:, :10, 40:] = 1
    frames[np.arange(40), 35, np.arange(40)] = 1
    sampler = ClipSampler([Episode(frames, PALETTE, np.zeros(40, np.int64))], FRAMES, 8)
    clips = sampler.draw(np.random.default_rng(0), 400, 2)
    alone = (clips[:, :, 0] > 0.5).flatten(2).sum(2).amax(1) == 1
    assert 0.4 < alone.float().mean() < 0.6


def test_the_same_generator_gives_the_same_clips() -> None:
    sampler = ClipSampler([episode(), episode(8)], FRAMES, 16)
    first, second = (sampler.draw(np.random.default_rng(3), 4, 2) for _ in range(2))
    assert torch.equal(first, second)


def test_an_empty_screen_gives_clips_too() -> None:
    blank = Episode(np.zeros((4, 40, 50), np.uint8), PALETTE, np.zeros(4, np.int64))
    clips = ClipSampler([blank], FRAMES, 16).draw(np.random.default_rng(0), 3, 2)
    assert not clips.any()


def test_crops_and_clips_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no larger than the frames of 50 x 40, got 72"):
        ClipSampler([episode()], FRAMES, 72)
    with pytest.raises(ValueError, match="an episode of 13 frames or more, the longest has 12"):
        ClipSampler([episode()], FRAMES, 16).draw(np.random.default_rng(0), 1, 13)


def noise(palette: np.ndarray, length: int = 5, seed: int = 0) -> Episode:
    """Pixels of random colours, of which no two crops are alike."""
    frames = np.random.default_rng(seed).integers(0, len(palette), (length, 20, 24), np.uint8)
    return Episode(frames, palette, np.zeros(length, np.int64))


FOUR = np.array([[0, 0, 0], [200, 0, 0], [0, 150, 30], [9, 9, 250]], np.uint8)
PICTURE = FOUR[np.random.default_rng(9).integers(4, size=(20, 24))]


@pytest.mark.parametrize("colour", [(0, 0, 0), (9, 9, 250), (77, 77, 77)])
@pytest.mark.parametrize("background", [None, PICTURE, np.full_like(PICTURE, 77)])
def test_clips_are_crops_of_prepared_frames(
    colour: tuple[int, int, int], background: np.ndarray | None
) -> None:
    pictures = [] if background is None else [background]
    frames = FrameConfig("Pong", 20, 24, background=Background.of([colour], pictures))
    episodes = [noise(FOUR), noise(FOUR[[2, 0, 3, 1]], seed=1), noise(FOUR[:3], seed=2)]
    clips = ClipSampler(episodes, frames, 8).draw(np.random.default_rng(0), 40, 2)
    crops = [
        frames.prepare(torch.from_numpy(one.rgb(t, t + 2)))[..., y : y + 8, x : x + 8]
        for one in episodes
        for t in range(len(one) - 1)
        for y in range(20 - 8 + 1)
        for x in range(24 - 8 + 1)
    ]
    found = [(torch.stack(crops) == clip).flatten(1).all(1).nonzero().flatten() for clip in clips]
    assert all(len(places) == 1 for places in found)
    assert len({int(places) for places in found}) > 30


def test_crops_are_placed_on_what_is_not_background() -> None:
    green = (0, 150, 30)
    background = np.full((40, 50, 3), green, np.uint8)
    background[30:38] = PALETTE[1]
    frames = np.full((3, 40, 50), 2, np.uint8)
    frames[:, 30:38] = 1
    frames[:, 5, 5] = 1  # of the bar's colour, but elsewhere
    shown = Episode(frames, PALETTE, np.zeros(3, np.int64))
    preprocessing = FrameConfig("Pong", 40, 50, background=Background.of([green], [background]))
    clips = ClipSampler([shown], preprocessing, 8).draw(np.random.default_rng(0), 50, 2)
    red = torch.tensor(FLOOR + (1 - FLOOR) * 200 / 255)
    assert ((clips > 0).any(2).sum((2, 3)) == 1).all()
    torch.testing.assert_close(clips.amax((2, 3, 4)), red.expand(50, 2))


def test_frames_of_nothing_but_background_give_black_clips() -> None:
    still = noise(FOUR, length=1)
    preprocessing = FrameConfig(
        "Pong", 20, 24, background=Background.of([(0, 0, 0)], [still.rgb()[0]])
    )
    clips = ClipSampler([still], preprocessing, 8).draw(np.random.default_rng(0), 3, 1)
    assert not clips.any()


def test_clips_go_on_where_they_ended_until_their_episode_is_over() -> None:
    frames = np.zeros((9, 40, 50), np.uint8)
    frames[:, 10:30, 10:30] = 1
    sampler = ClipSampler([Episode(frames, PALETTE, np.zeros(9, np.int64))], FRAMES, 16)
    rng = np.random.default_rng(0)
    places = np.array([[0, 7, 3, 4], [0, 8, 3, 4], [0, 2, 5, 6]])
    following, new = sampler.following(rng, places, 2, restart_prob=0.0)
    assert new.tolist() == [False, True, False]
    assert (following[~new] == places[~new]).all()
    assert following[1, 1] <= 7
    _, new = sampler.following(rng, np.tile(places[:1], (1000, 1)), 2, restart_prob=0.2)
    assert 0.15 < new.mean() < 0.25
