"""Scenes that are not as the pictures of the background show them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from silot_gym.background import Background
from silot_gym.play.config import PlayConfig
from silot_gym.play.online_background import OnlineBackground
from tests.test_background import (
    BLUE,
    FIRST,
    OTHER,
    RED,
    SECOND,
    SIZE,
    WALL,
    ball_at,
    packed,
    room,
    with_ball,
)


@pytest.mark.parametrize("known", [[FIRST], [FIRST, SECOND]])
def test_an_unknown_level_is_no_crowd_of_objects(known: list[NDArray[np.uint8]]) -> None:
    scenes = OnlineBackground(Background.of([BLUE], known, max_foreground=0.1), 1, PlayConfig())
    level = room(slice(5, 8), slice(14, 19), ground=OTHER)
    seen = [scenes.foreground(packed(with_ball(FIRST, 2)))[0]]
    seen += [scenes.foreground(packed(with_ball(level, 4 + t)))[0] for t in range(20)]
    seen += [scenes.foreground(packed(with_ball(FIRST, 9)))[0]]
    assert torch.equal(seen[0], ball_at(2))
    assert not seen[1].any()  # the ball is taken for a part of the level
    for t in range(12, 20):
        assert torch.equal(seen[1 + t], ball_at(4 + t)), t  # what it has hidden is known by now
    assert torch.equal(seen[-1], ball_at(9))


def test_lanes_are_in_scenes_of_their_own() -> None:
    background = Background.of([BLUE], [FIRST], max_foreground=0.1)
    level = room(slice(5, 8), ground=OTHER)
    films = [[with_ball(FIRST, t) for t in range(12)], [with_ball(level, t) for t in range(12)]]
    films.append([with_ball(level if 3 <= t < 8 else FIRST, t) for t in range(12)])
    together = OnlineBackground(background, 3, PlayConfig())
    alone = [OnlineBackground(background, 1, PlayConfig()) for _ in films]
    for t in range(12):
        drawn = together.foreground(packed(*(film[t] for film in films)))
        for lane, (scenes, film) in enumerate(zip(alone, films, strict=True)):
            assert torch.equal(drawn[lane], scenes.foreground(packed(film[t]))[0])


def test_a_lane_that_is_forgotten_learns_its_scene_anew() -> None:
    scenes = OnlineBackground(Background.of([BLUE], [FIRST], max_foreground=0.1), 2, PlayConfig())
    level, next_level = room(slice(2, 10), ground=OTHER), room(slice(2, 19), ground=RED)
    scenes.foreground(packed(level, level))
    scenes.forget(torch.tensor([True, False]))
    drawn = scenes.foreground(packed(next_level, next_level))
    assert not drawn[0].any()
    assert np.array_equal(drawn[1].numpy(), (next_level != level).any(-1))


def test_an_unknown_level_is_learned_through_noise() -> None:
    rng = np.random.default_rng(0)
    scenes = OnlineBackground(
        Background.of([BLUE], [FIRST], max_foreground=0.1, tolerance=4), 1, PlayConfig()
    )
    level = room(slice(5, 8), slice(14, 19), ground=OTHER)
    for t in range(20):
        frame = with_ball(level, 4 + t) + rng.integers(-2, 3, (*SIZE, 3))
        drawn = scenes.foreground(packed(frame.clip(0, 255).astype(np.uint8)))[0]
        if t >= 12:
            assert torch.equal(drawn, ball_at(4 + t))


def in_colours(frame: NDArray[np.uint8], colours: dict[tuple[int, ...], tuple[int, ...]]):
    changed = frame.copy()
    for old, new in colours.items():
        changed[(frame == old).all(-1)] = new
    return changed


@pytest.mark.parametrize("known", [[FIRST], [FIRST, SECOND], []])
@pytest.mark.parametrize("noise", [0, 2])
def test_a_known_scene_in_other_colours_is_known_at_once(
    known: list[NDArray[np.uint8]], noise: int
) -> None:
    rng = np.random.default_rng(0)
    background = Background.of([BLUE], known, max_foreground=0.1, tolerance=2 * noise)
    scenes = OnlineBackground(background, 2, PlayConfig())
    scene = known[-1] if known else room()
    looks = [{}] * 3 + [{BLUE: (60, 20, 60), WALL: (150, 150, 10)}] * 3 + [{BLUE: OTHER}] * 3
    for t, colours in enumerate([*looks, *looks]):
        frame = in_colours(with_ball(scene, 4 + t), colours)
        frame = frame + rng.integers(-noise, noise + 1, frame.shape).clip(0).astype(np.uint8)
        drawn = scenes.foreground(packed(frame, with_ball(scene, 3)))
        assert torch.equal(drawn[0], ball_at(4 + t)), t
        assert torch.equal(drawn[1], ball_at(3)), t
        assert scenes.behind(packed(frame, frame))[0].unique().numel() <= 2


def test_small_parts_in_another_colour_are_noticed_in_the_first_frame() -> None:
    scenes = OnlineBackground(
        Background.of([BLUE], [room(slice(0, 1))], max_foreground=0.1), 1, PlayConfig()
    )
    for t in range(5):
        other = in_colours(with_ball(room(slice(0, 1)), t), {WALL: (9, 99, 9)})
        assert torch.equal(scenes.foreground(packed(other))[0], ball_at(t))


def test_behind_objects_is_the_colour_that_the_scene_has_now() -> None:
    """A part of the wall is gone, and the ground shows there."""
    scenes = OnlineBackground(Background.of([BLUE], [FIRST], max_foreground=0.1), 1, PlayConfig())
    frame = with_ball(FIRST, 7)
    frame[0:4, 0:9] = BLUE
    assert torch.equal(scenes.foreground(packed(frame))[0], ball_at(7))
    dark = in_colours(frame, {BLUE: (0, 0, 45), WALL: (45, 45, 45), RED: (100, 0, 0)})
    assert torch.equal(scenes.foreground(packed(dark))[0], ball_at(7))


def test_of_several_scenes_the_most_frequent_that_fits_is_recoloured() -> None:
    """The second scene has a ball that never moves, which would hide one that stands there."""
    background = Background.of([BLUE], [FIRST, with_ball(FIRST, 4)], max_foreground=0.1)
    other = in_colours(with_ball(FIRST, 4), {BLUE: OTHER, WALL: (9, 9, 9), RED: (0, 90, 0)})
    drawn = OnlineBackground(background, 1, PlayConfig()).foreground(packed(other))
    assert torch.equal(drawn[0], ball_at(4))


def test_a_part_that_has_no_colour_of_its_own_is_as_it_was() -> None:
    rng = np.random.default_rng(0)
    frame = room(slice(0, 4))
    frame[6:, :] = rng.integers(0, 256, (14, 30, 3))
    drawn = OnlineBackground(Background.of([BLUE], [FIRST]), 1, PlayConfig()).foreground(
        packed(frame)
    )[0]
    assert not drawn[:6].any() and drawn[6:].all()


def test_what_has_kept_its_colour_is_background_where_other_parts_of_it_have_not() -> None:
    known = room(slice(0, 4), slice(17, 20))
    frame = in_colours(with_ball(known, 6), {WALL: (150, 150, 10)})
    frame[17:20, :20] = WALL
    drawn = OnlineBackground(Background.of([BLUE], [known]), 1, PlayConfig()).foreground(
        packed(frame)
    )[0]
    assert torch.equal(drawn, ball_at(6))
