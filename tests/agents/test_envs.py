"""The same game for all agents, whatever they observe."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest

from silot_gym.agents.config import AgentConfig
from silot_gym.agents.envs import make_envs


@pytest.fixture
def slots(typed_checkpoint):
    return AgentConfig("Breakout", view="attention", checkpoint=str(typed_checkpoint))


PIXELS = AgentConfig("Breakout", "pixels")


def play(envs, steps):
    """Rewards and ends of episodes (steps, lanes), and the scores and lengths of whole games."""
    rng = np.random.default_rng(0)
    envs.reset()
    seen, games = [], []
    for _ in range(steps):
        action = rng.integers(0, envs.action_space.n)  # the same in all lanes
        _, rewards, dones, infos = envs.step(np.full(envs.num_envs, action))
        seen.append(np.stack([rewards, dones]))
        games += [(i["episode"]["r"], i["episode"]["l"]) for i in infos if "episode" in i]
    envs.close()
    return np.stack(seen), games


def test_what_is_observed_makes_no_difference_to_the_game(slots):
    (seen, games), (others, games_of_others) = (
        play(make_envs(config, 2, 3), 180) for config in (PIXELS, slots)
    )
    rewards, dones = seen.swapaxes(0, 1)
    assert len(games) >= 1 and dones.sum() > len(games)  # a lost life ends an episode
    assert set(np.unique(rewards)) == {0, 1}  # rewards are clipped
    np.testing.assert_array_equal(others, seen)
    assert games_of_others == games


def test_lanes_and_seeds_differ():
    steps, _ = play(make_envs(PIXELS, 2, 3), 100)
    others, _ = play(make_envs(PIXELS, 2, 4), 100)
    assert (steps[:, :, 0] != steps[:, :, 1]).any()
    np.testing.assert_array_equal(others[:, :, 0], steps[:, :, 1])  # seeds count up


def test_shapes_of_the_observations(slots):
    for view, shape in (("vector", (1, 3 * 2 * 7)), ("deepset", (1, 64, 7 + 3))):
        envs = make_envs(dataclasses.replace(slots, view=view), 1, 0)
        assert envs.reset().shape == shape
        envs.close()
    envs = make_envs(PIXELS, 1, 0)
    assert envs.reset().shape == (1, 4, 84, 84)
    envs.close()


class Dark(gym.ObservationWrapper):
    """Shows nothing."""

    def observation(self, observation):
        return np.zeros_like(observation)


def test_games_can_be_changed_for_all(slots):
    for config in (PIXELS, AgentConfig("Breakout", view="deepset", checkpoint="Breakout")):
        plain, dark = make_envs(config, 1, 0), make_envs(config, 1, 0, look=Dark)
        assert plain.reset().any() and not dark.reset().any()
        plain.close()
        dark.close()


def test_another_checkpoint_can_be_looked_through(slots):
    config = AgentConfig("Breakout", view="deepset", checkpoint="Breakout")
    envs = make_envs(config, 1, 0, checkpoint=slots.checkpoint)
    assert envs.reset().shape == (1, 64, 10)  # with the other's number of slots
    envs.close()
    with pytest.raises(ValueError, match="expected no checkpoint for an agent on pixels: Pong"):
        make_envs(PIXELS, 1, 0, checkpoint="Pong")


def test_a_checkpoint_without_types_is_refused(tiny_checkpoint):
    for view in ("vector", "attention"):
        config = AgentConfig("Breakout", view=view, checkpoint=str(tiny_checkpoint))
        with pytest.raises(ValueError, match="checkpoint with types of objects"):
            make_envs(config, 1, 0)
