"""Changes of looks on known colours, on real frames and in live environments."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence

from silot_gym import SILOTObjectWrapper, make_atari
from silot_gym.background import pack_colours
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.changed_looks import (
    ANY_GAME,
    OF_GAME,
    STROBE,
    STROBE_FRAMES,
    ChangedLook,
    Darker,
    Noisy,
    Recoloured,
    Region,
    Strobing,
    changes_of,
)
from silot_gym.evaluation.memory_truth import load_memory_truth
from silot_gym.play.config import PlayConfig
from silot_gym.play.online_background import OnlineBackground

TRUTH = Path(__file__).parents[2] / "benchmarks" / "data"
GROUND, BALL, PADDLE = (100, 80, 20), (200, 10, 240), (30, 90, 10)
GREEN, PINK = (0, 250, 0), (250, 150, 150)


def frame_of(*colours: tuple[int, int, int]) -> np.ndarray:
    """Two rows of these colours."""
    return np.array([colours, colours], np.uint8)


def test_colours_are_replaced_where_they_should_be() -> None:
    change = Recoloured({BALL: GREEN, PADDLE: BALL}, regions=[Region(top=1, left=1)])
    frames = np.stack([frame_of(BALL, BALL, PADDLE, GROUND)] * 3)
    before = frames.copy()
    changed = change(frames, 0)
    assert np.array_equal(frames, before)
    assert np.array_equal(changed[:, 0], before[:, 0])
    expected = np.array([BALL, GREEN, BALL, GROUND])
    assert (changed[:, 1] == expected).all()


def test_pooled_frames_are_as_if_the_screens_had_been_changed() -> None:
    """Each pixel is one of the three colours in each of two screens."""
    colours = np.array([GROUND, BALL, PADDLE], np.uint8)
    first, second = (part.ravel() for part in np.meshgrid(range(3), range(3)))
    screens = colours[np.stack([first, second])][:, None]
    change = Recoloured({BALL: GREEN, PADDLE: PINK}, [GROUND])
    pooled = change(screens, 0).max(0)
    assert np.array_equal(change(screens.max(0), 0), pooled)


def test_strobing_colours_follow_one_another_and_are_different() -> None:
    change = Strobing([BALL, PADDLE])
    shown = [change(frame_of(BALL, PADDLE, GROUND), t)[0] for t in range(STROBE_FRAMES * 7)]
    assert all(np.array_equal(frame[2], GROUND) for frame in shown)
    for t, frame in enumerate(shown):
        number = t // STROBE_FRAMES
        assert tuple(frame[0]) == STROBE[number % len(STROBE)]
        assert tuple(frame[1]) == STROBE[(number + 1) % len(STROBE)]


def test_darker_frames_and_noise() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 50, 60, 3), np.uint8)
    darker = Darker(0.5)(frames, 0)
    assert np.abs(darker - frames / 2).max() <= 0.5
    for most in (1, 2):
        noisy = Noisy(most)(frames, 8)
        assert np.array_equal(noisy, Noisy(most)(frames, 8))
        assert not np.array_equal(noisy, Noisy(most)(frames, 12))
        added = noisy.astype(int) - frames
        assert set(np.unique(added)) == set(range(-most, most + 1))


@pytest.mark.parametrize("game", sorted(OF_GAME))
def test_each_change_of_a_game_is_seen_in_play(game: str) -> None:
    env = make_atari(game)
    env.action_space.seed(0)
    frames = [env.reset(seed=0)[0]]
    frames += [env.step(env.action_space.sample())[0] for _ in range(40)]
    film = np.stack(frames[1:])
    for name, change in changes_of(game).items():
        changed = change(film, 0)
        assert changed.shape == film.shape and changed.dtype == np.uint8
        differs = (changed != film).any(-1).mean((1, 2))
        assert differs.max() > 0, name
        assert name in ANY_GAME or differs.mean() < 0.95, name


@pytest.mark.parametrize(
    ("game", "change"),
    [
        *(
            (game, "half as bright")
            for game in ("Boxing", "Breakout", "Carnival", "Freeway", "Pong")
        ),
        ("Boxing", "ground blue"),
        ("Breakout", "bricks strobing"),
        ("Breakout", "walls blue"),
        ("Freeway", "road blue"),
        ("Pong", "field blue"),
    ],
)
def test_the_foreground_is_that_of_the_game_as_it_is(game: str, change: str) -> None:
    background = Checkpoint.load(game).frames.background.with_static()
    truth = load_memory_truth(TRUTH / f"{game}.npz")
    films = truth.palette[truth.frames[:, ::6]]
    as_it_is, changed = (OnlineBackground(background, len(films), PlayConfig()) for _ in range(2))
    for t in range(films.shape[1]):
        frames = films[:, t]
        other = changes_of(game)[change](frames, 24 * t)
        drawn = as_it_is.foreground(pack_colours(torch.from_numpy(frames)))
        assert torch.equal(changed.foreground(pack_colours(torch.from_numpy(other))), drawn)


def test_slots_and_pixels_of_a_live_game_that_looks_otherwise() -> None:
    plain, changed = make_atari("Pong"), ChangedLook(make_atari("Pong"), "field blue")
    env = SILOTObjectWrapper(changed, include_pixels=True)  # finds the checkpoint of its game
    frame, _ = plain.reset(seed=1)
    obs, _ = env.reset(seed=1)
    expected = OF_GAME["Pong"]["field blue"]
    for _ in range(5):
        assert np.array_equal(obs["pixels"], expected(frame, 0))
        frame, obs = plain.step(2)[0], env.step(2)[0]
    assert 1 <= (obs["slots"][:, 0] > 0).sum() <= 3


def test_a_live_game_that_looks_otherwise_comes_back_from_its_spec() -> None:
    env = ChangedLook(make_atari("Boxing"), "noise of 2")
    assert env.spec is not None
    again = gym.make(type(env.spec).from_json(env.spec.to_json()))
    assert data_equivalence(env.reset(seed=3)[0], again.reset(seed=3)[0])


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a change of Pong among .*'field blue'"):
        ChangedLook(make_atari("Pong"), "cars red")
