"""Backgrounds of frames whose scenes are known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from silot_gym.background import Background, pack_colours, unpack_colours
from silot_gym.scenes import UnknownScenes

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
    drawn = background.drawn(frames)
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
        assert torch.equal(background.drawn(packed(frame))[0], ball_at(5))


@pytest.mark.parametrize("known", [[FIRST], [FIRST, SECOND]])
def test_an_unknown_level_is_no_crowd_of_objects(known: list[NDArray[np.uint8]]) -> None:
    scenes = UnknownScenes(Background.of([BLUE], known, most_drawn=0.1), lanes=1)
    level = room(slice(5, 8), slice(14, 19), ground=OTHER)
    seen = [scenes.drawn(packed(with_ball(FIRST, 2)))[0]]
    seen += [scenes.drawn(packed(with_ball(level, 4 + t)))[0] for t in range(20)]
    seen += [scenes.drawn(packed(with_ball(FIRST, 9)))[0]]
    assert torch.equal(seen[0], ball_at(2))
    assert not seen[1].any()  # the ball is taken for a part of the level
    for t in range(12, 20):
        assert torch.equal(seen[1 + t], ball_at(4 + t)), t  # what it has hidden is known by now
    assert torch.equal(seen[-1], ball_at(9))


def test_lanes_are_in_scenes_of_their_own() -> None:
    background = Background.of([BLUE], [FIRST], most_drawn=0.1)
    level = room(slice(5, 8), ground=OTHER)
    films = [[with_ball(FIRST, t) for t in range(12)], [with_ball(level, t) for t in range(12)]]
    films.append([with_ball(level if 3 <= t < 8 else FIRST, t) for t in range(12)])
    together = UnknownScenes(background, lanes=3)
    alone = [UnknownScenes(background, lanes=1) for _ in films]
    for t in range(12):
        drawn = together.drawn(packed(*(film[t] for film in films)))
        for lane, (scenes, film) in enumerate(zip(alone, films, strict=True)):
            assert torch.equal(drawn[lane], scenes.drawn(packed(film[t]))[0])


def test_a_lane_that_is_forgotten_learns_its_scene_anew() -> None:
    scenes = UnknownScenes(Background.of([BLUE], [FIRST], most_drawn=0.1), lanes=2)
    level, next_level = room(ground=OTHER), room(slice(2, 19), ground=RED)
    scenes.drawn(packed(level, level))
    scenes.forget(torch.tensor([True, False]))
    drawn = scenes.drawn(packed(next_level, next_level))
    assert not drawn[0].any()
    assert drawn[1].float().mean() > 0.8
