import numpy as np
import pytest

from silot_gym.atari import make_atari
from silot_gym.rollouts import RESET_ACTION, Episode, EpisodeBuilder

GOOD = {
    "frames": np.zeros((5, 12, 10), np.uint8),
    "palette": np.zeros((4, 3), np.uint8),
    "actions": np.zeros(5, np.int64),
}


def build(frames):
    builder = EpisodeBuilder()
    for number, frame in enumerate(frames):
        builder.add(frame, number - 1)
    return builder.build()


def test_atari_frames_come_back_exactly():
    env = make_atari("Carnival")
    frames = [env.reset(seed=0)[0]]
    frames += [env.step(number % 6)[0] for number in range(30)]
    episode = build(frames)
    assert episode.frames.dtype == np.uint8
    assert len(episode) == 31
    assert np.array_equal(episode.rgb(), np.stack(frames))
    assert np.array_equal(episode.rgb(7, 9), np.stack(frames[7:9]))
    assert episode.actions.tolist() == list(range(-1, 30))


@pytest.mark.parametrize(
    ("num_colours", "dtype"), [(256, np.uint8), (257, np.uint16), (600, np.uint16)]
)
def test_palette_grows_beyond_a_byte(num_colours, dtype):
    numbers = np.arange(num_colours)
    colours = np.stack([numbers % 256, numbers // 256, 255 - numbers % 7], axis=1)
    video = np.stack([np.tile(colours[:9], (100, 1))[:num_colours], colours])
    video = video.astype(np.uint8).reshape(2, num_colours, 1, 3)
    episode = build(video)
    assert episode.frames.dtype == dtype
    assert len(episode.palette) == num_colours
    assert np.array_equal(episode.rgb(), video)


def test_repr_is_short():
    assert repr(Episode(**GOOD)) == "Episode(5 frames of 12x10, 4 colours)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((5, 12, 10), np.int64)}, "expected frames"),
        ({"frames": np.zeros((0, 12, 10), np.uint8), "actions": np.zeros(0, int)}, "frames"),
        ({"palette": np.zeros((4, 4), np.uint8)}, "expected a palette"),
        ({"actions": np.zeros(4, np.int64)}, "expected actions"),
        ({"actions": np.zeros(5, np.int32)}, "expected actions"),
        ({"frames": np.full((5, 12, 10), 4, np.uint8)}, "indices below 4"),
    ],
)
def test_wrong_arrays_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Episode(**GOOD | changes)


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 4)])
def test_builder_wants_rgb(shape):
    with pytest.raises(ValueError, match="RGB frame"):
        EpisodeBuilder().add(np.zeros(shape, np.uint8), RESET_ACTION)
    with pytest.raises(ValueError, match="RGB frame"):
        EpisodeBuilder().add(np.zeros((12, 10, 3), np.float32), RESET_ACTION)
