import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from silot_gym.background import Background, pack_colours
from silot_gym.frames import FrameConfig

SKY, GRASS, BALL = (30, 60, 90), (0, 150, 30), (200, 0, 0)

FLOOR = FrameConfig("Pong", 1, 1).brightness_floor


def landscape() -> NDArray[np.uint8]:
    """Twenty rows of thirty pixels: sky, and six rows of grass."""
    picture = np.full((20, 30, 3), SKY, np.uint8)
    picture[12:18] = GRASS
    return picture


OUTSIDE = FrameConfig(None, 20, 30, background=Background.of([SKY], [landscape()]))


def prepared(config: FrameConfig, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What is seen of a frame, (height, width, 3)."""
    return config.prepare(torch.from_numpy(frame.copy())[None])[0].movedim(0, -1).numpy()


def brightened(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A frame none of whose pixels is background."""
    return FLOOR + (1 - FLOOR) * frame / 255


def some_frame(seed: int = 0) -> NDArray[np.uint8]:
    """Pixels of the colours of sky, grass, a ball, and black, anywhere."""
    colours = np.array([SKY, GRASS, BALL, (0, 0, 0)], np.uint8)
    return colours[np.random.default_rng(seed).integers(4, size=(20, 30))]


def test_without_a_background_all_but_black_is_seen() -> None:
    frame = some_frame()
    expected = brightened(frame) * frame.any(-1, keepdims=True)
    assert prepared(FrameConfig(None, 20, 30), frame) == pytest.approx(expected)


def test_the_background_itself_is_seen_as_black() -> None:
    assert not prepared(OUTSIDE, landscape()).any()


def test_what_crosses_the_background_is_seen_where_its_colour_differs() -> None:
    for top in range(17):
        frame = landscape()
        expected = np.zeros((20, 30, 3))
        for left, colour in ((5, BALL), (12, (0, 0, 0)), (20, GRASS)):
            part = np.s_[top : top + 4, left : left + 4]
            frame[part] = colour
            expected[part] = brightened(np.array(colour, np.uint8))
        expected[12:18, 20:24] = 0  # grass on grass
        assert prepared(OUTSIDE, frame) == pytest.approx(expected)


def test_a_black_object_is_seen() -> None:
    frame = landscape()
    frame[3:7, 3:7] = 0
    assert prepared(OUTSIDE, frame)[3:7, 3:7] == pytest.approx(FLOOR)


def test_the_backgrounds_colour_is_nothing_on_top_of_another_too() -> None:
    frame = landscape()
    frame[12:18, 10:20] = SKY
    assert not prepared(OUTSIDE, frame).any()


def test_nearly_the_colour_of_the_background_is_seen() -> None:
    for channel in range(3):
        frame = landscape()
        frame[..., channel] += 1
        assert prepared(OUTSIDE, frame) == pytest.approx(brightened(frame))


def test_many_frames_are_prepared_as_one_by_one() -> None:
    frames = torch.from_numpy(np.stack([some_frame(seed) for seed in range(6)]))
    together = OUTSIDE.prepare(frames)
    assert together.shape == (6, 3, 20, 30)
    assert together.dtype == torch.float32
    assert torch.equal(together, torch.cat([OUTSIDE.prepare(frame[None]) for frame in frames]))


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


def test_a_window_keeps_all_else() -> None:
    window = FrameConfig("Pong", 20, 30, frame_skip=3, pooled=False).window(1, 5, 2, 9)
    assert window == FrameConfig("Pong", 4, 7, frame_skip=3, pooled=False)


@pytest.mark.parametrize("size", [(10, 30), (20, 29), (30, 20)])
def test_frames_of_another_size_lose_the_backgrounds_colours_only(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), SKY, np.uint8)
    frame[4:8] = GRASS
    seen = prepared(OUTSIDE, frame)
    assert not seen[:4].any() and not seen[8:].any()
    assert seen[4:8] == pytest.approx(brightened(frame[4:8]))


@pytest.mark.parametrize("frame", [some_frame(), landscape(), np.zeros((20, 30, 3), np.uint8)])
def test_what_is_seen_can_be_put_back(frame: NDArray[np.uint8]) -> None:
    # Sky on grass is lost: it is taken for what has been removed.
    frame[12:18][(frame[12:18] == SKY).all(-1)] = GRASS
    frames = torch.from_numpy(frame[None].copy())
    behind = OUTSIDE.background.behind(pack_colours(frames))
    assert torch.equal(OUTSIDE.to_rgb(OUTSIDE.prepare(frames), behind), frames)


@pytest.mark.parametrize("size", [(20, 29), (30, 20)])
def test_a_background_of_another_size_is_refused(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"background of 20 x 30, got \({size[0]}, {size[1]}\)$"):
        FrameConfig(None, 20, 30, background=Background.of([SKY], [picture]))
