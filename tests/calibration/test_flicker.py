"""Games whose sprites are drawn on every screen, and on some only."""

import pytest

from silot_gym.background import Background
from silot_gym.calibration.flicker import flickers

BLACK, BROWN = (0, 0, 0), (144, 72, 17)


@pytest.mark.parametrize(
    ("game", "colour", "expected"),
    [
        ("Asteroids", BLACK, True),  # two of three screens show no rock
        ("SpaceInvaders", BLACK, True),  # bullets
        ("Pong", BROWN, False),
        ("Breakout", BLACK, False),
    ],
)
def test_what_comes_back_at_the_same_place_flickers(game, colour, expected):
    assert flickers(game, Background.of([colour])) == expected


def test_what_is_not_shown_in_play_does_not_count():
    everywhere = Background(hud=((0.0, 0.0, 1.0, 1.0),))
    assert not flickers("Asteroids", everywhere)
