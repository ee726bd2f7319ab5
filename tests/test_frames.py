import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from silot_gym.frames import FrameConfig, pack_colours, unpack_colours

SKY, GRASS, BALL = (30, 60, 90), (0, 150, 30), (200, 0, 0)


def landscape() -> NDArray[np.uint8]:
    """Twenty rows of thirty pixels: sky, and six rows of grass."""
    picture = np.full((20, 30, 3), SKY, np.uint8)
    picture[12:18] = GRASS
    return picture


OUTSIDE = FrameConfig(None, 20, 30, background_colour=SKY, background=landscape())


def prepared(config: FrameConfig, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What is seen of a frame, (height, width, 3)."""
    return config.prepare(torch.from_numpy(frame.copy())).movedim(-3, -1).numpy()


def some_frame(seed: int = 0) -> NDArray[np.uint8]:
    """Pixels of the colours of sky, grass, a ball, and black, anywhere."""
    colours = np.array([SKY, GRASS, BALL, (0, 0, 0)], np.uint8)
    return colours[np.random.default_rng(seed).integers(4, size=(20, 30))]


def test_packed_colours_come_back() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 50, 60, 3), np.uint8)
    colours[0, 0, :3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    packed = pack_colours(colours)
    assert packed.shape == (4, 50, 60)
    assert unpack_colours(packed).dtype == np.uint8
    assert np.array_equal(unpack_colours(packed), colours)


def test_without_a_background_frames_are_only_scaled() -> None:
    frame = some_frame()
    assert prepared(FrameConfig(None, 20, 30), frame) == pytest.approx(frame / 255)


def test_the_background_itself_is_seen_as_black() -> None:
    assert not prepared(OUTSIDE, landscape()).any()


def test_what_crosses_the_background_is_seen_where_its_colour_differs() -> None:
    for top in range(17):
        frame = landscape()
        frame[top : top + 4, 5:9] = BALL
        frame[top : top + 4, 20:24] = GRASS
        seen = prepared(OUTSIDE, frame)
        expected = np.zeros((20, 30, 3))
        expected[top : top + 4, 5:9] = BALL
        expected[top : top + 4, 20:24] = GRASS
        expected[12:18, 20:24] = 0  # grass on grass
        assert seen == pytest.approx(expected / 255)


def test_the_backgrounds_colour_is_nothing_on_top_of_another_too() -> None:
    frame = landscape()
    frame[12:18, 10:20] = SKY
    assert not prepared(OUTSIDE, frame).any()


def test_nearly_the_colour_of_the_background_is_seen() -> None:
    for channel in range(3):
        frame = landscape()
        frame[..., channel] += 1
        assert prepared(OUTSIDE, frame) == pytest.approx(frame / 255)


def test_many_frames_are_prepared_as_one_by_one() -> None:
    frames = np.stack([some_frame(seed) for seed in range(6)])
    together = OUTSIDE.prepare(torch.from_numpy(frames.reshape(2, 3, 20, 30, 3)))
    assert together.shape == (2, 3, 3, 20, 30)
    assert together.dtype == torch.float32
    alone = torch.stack([OUTSIDE.prepare(torch.from_numpy(frame)) for frame in frames])
    assert torch.equal(together.flatten(0, 1), alone)


@pytest.mark.parametrize(
    ("top", "bottom", "left", "right"),
    [
        (0, 20, 0, 30),
        (0, 14, 0, 30),
        (3, 15, 7, 19),
        (12, 18, 0, 30),  # of grass alone, whose colour is not nothing elsewhere
        (9, 18, 0, 1),
    ],
)
def test_a_window_sees_its_part_of_what_the_whole_sees(
    top: int, bottom: int, left: int, right: int
) -> None:
    frame = some_frame()
    window = OUTSIDE.window(top, bottom, left, right)
    assert (window.height, window.width) == (bottom - top, right - left)
    seen = prepared(window, frame[top:bottom, left:right])
    assert np.array_equal(seen, prepared(OUTSIDE, frame)[top:bottom, left:right])


def test_a_window_without_a_background() -> None:
    window = FrameConfig("Pong", 20, 30, frame_skip=3, pooled=False).window(1, 5, 2, 9)
    assert window == FrameConfig("Pong", 4, 7, frame_skip=3, pooled=False)
    assert window.background is None


@pytest.mark.parametrize("size", [(10, 30), (20, 29), (30, 20)])
def test_frames_of_another_size_lose_the_backgrounds_colour_only(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), SKY, np.uint8)
    frame[4:8] = GRASS
    seen = prepared(OUTSIDE, frame)
    assert not seen[:4].any() and not seen[8:].any()
    assert seen[4:8] == pytest.approx(frame[4:8] / 255)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (landscape()[:, :29], r"\(20, 29, 3\) uint8"),
        (landscape().swapaxes(0, 1), r"\(30, 20, 3\) uint8"),
        (landscape()[..., 0], r"\(20, 30\) uint8"),
        (landscape() / np.float32(255), r"\(20, 30, 3\) float32"),
    ],
)
def test_a_background_that_is_no_such_picture_is_refused(
    wrong: NDArray[np.uint8], got: str
) -> None:
    with pytest.raises(ValueError, match=r"^expected a background \(20, 30, 3\) uint8, got " + got):
        FrameConfig(None, 20, 30, background=wrong)
