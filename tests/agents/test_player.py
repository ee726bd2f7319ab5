"""A trained agent plays alike in the environments of its training and in any other."""

import numpy as np
import pytest
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from silot_gym import make_atari
from silot_gym.agents.config import AgentConfig
from silot_gym.agents.envs import make_envs
from silot_gym.agents.player import AgentPlayer
from silot_gym.agents.run import AgentRun, build
from silot_gym.sb3 import SILOTVecWrapper


def untrained(folder, **arguments):
    """Folder of an agent that was saved before it was trained."""
    options = dict(obs="slots", view=None, checkpoint=None, algo="ppo", changes=())
    config = AgentConfig.resolve(
        **{"game": "Breakout", "steps": 8, "envs": 1, "seed": 0} | options | arguments
    )
    run = AgentRun(folder)
    run.folder.mkdir()
    run.config_file.write_text(config.to_json())
    envs = make_envs(config, 1, 0)
    build(config, envs, "cpu").save(run.agent_file)
    envs.close()
    return run


@pytest.mark.parametrize("view", ["vector", "deepset"])
def test_a_player_does_what_the_agent_does_in_its_own_environments(tmp_path, view):
    run = untrained(tmp_path / "agent", view=view)
    envs = make_envs(run.config(), 1, 0)
    agent = run.load(envs)
    agent.set_random_seed(7)
    observation = envs.reset()
    tracked = unwrap_vec_wrapper(envs, SILOTVecWrapper)
    frames, actions = [], []
    for _ in range(30):
        frames.append(tracked.frames[0].copy())
        action, _ = agent.predict(observation, deterministic=False)
        actions.append(int(action[0]))
        observation, _, dones, _ = envs.step(action)
        assert not dones[0]
    envs.close()

    env = make_atari("Breakout")
    env.reset(seed=0)
    player = AgentPlayer(run.folder, env)
    player.start(7)
    assert player.action(np.zeros((210, 160, 3), np.uint8)) == 1  # FIRE begins a life
    assert [player.action(frame) for frame in frames] == actions
    env.close()


def test_agents_that_see_something_else_or_do_something_else_are_refused(tmp_path):
    env = make_atari("Breakout")
    pixels = untrained(tmp_path / "pixels", obs="pixels")
    with pytest.raises(ValueError, match="expected an agent on slots, got one on pixels"):
        AgentPlayer(pixels.folder, env)
    boxer = untrained(tmp_path / "boxer", game="Boxing")
    with pytest.raises(ValueError, match=r"expected an agent for Discrete\(4\)"):
        AgentPlayer(boxer.folder, env)
    with pytest.raises(ValueError, match=r"expected a run of agents/train.py, found no"):
        AgentPlayer(tmp_path, env)
    env.close()
