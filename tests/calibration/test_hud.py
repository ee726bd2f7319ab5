from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from silot_gym.background import Background
from silot_gym.calibration.hud import find_hud
from silot_gym.rollouts import Episode, EpisodeBuilder

HEIGHT, WIDTH = 100, 80
RED, YELLOW = (200, 0, 0), (230, 230, 0)
Draw = Callable[[NDArray[np.uint8], int], None]


def film(*draws: Draw) -> Episode:
    builder = EpisodeBuilder()
    for t in range(300):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for draw in draws:
            draw(frame, t)
        builder.add(frame, t - 1)
    return builder.build()


def number(top: int, left: int, every: int = 20) -> Draw:
    """Three bars, each a digit, of which one changes every so many frames."""

    def draw(frame: NDArray[np.uint8], t: int) -> None:
        for digit in range(3):
            height = 8 - t // every % 5 if digit == 2 else 8
            frame[top : top + height, left + 5 * digit : left + 5 * digit + 3] = YELLOW

    return draw


def ball(frame: NDArray[np.uint8], t: int) -> None:
    y, x = 25 + t % 50, t * 3 % (WIDTH - 4)
    frame[y : y + 4, x : x + 4] = RED


def low_ball(frame: NDArray[np.uint8], t: int) -> None:
    frame[88 + t % 8 : 91 + t % 8, t % (WIDTH - 4) : t % (WIDTH - 4) + 4] = RED


def in_pixels(episode: Episode) -> list[list[float]]:
    found = find_hud([episode, episode], Background())
    return [[x0 * WIDTH, y0 * HEIGHT, x1 * WIDTH, y1 * HEIGHT] for x0, y0, x1, y1 in found]


@pytest.mark.parametrize(("top", "left"), [(3, 10), (0, 0), (90, 60)])
def test_a_number_at_the_edge_is_a_display(top: int, left: int) -> None:
    box = [left, top, left + 13, top + 8]
    assert in_pixels(film(number(top, left), ball)) == [pytest.approx(box, abs=0.02)]


def test_each_number_is_a_display_of_its_own() -> None:
    assert len(in_pixels(film(number(3, 10), number(3, 50), number(90, 10), ball))) == 3


@pytest.mark.parametrize(
    "draws",
    [
        (number(45, 10),),  # in the middle
        (number(3, 10, every=2), ball),  # always changing
        (number(90, 10), low_ball),  # where something comes by
        (ball, low_ball),
    ],
    ids=["middle", "changing", "crossed", "moving"],
)
def test_nothing_else_is(draws: tuple[Draw, ...]) -> None:
    assert in_pixels(film(*draws)) == []
