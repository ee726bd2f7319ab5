import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("ray", reason="needs the extra rllib: make test-rllib")

from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.env_context import EnvContext

from silot_gym.rllib import make_env

ROOT = Path(__file__).parents[1]


def train(*arguments):
    """Runs agents/train_rllib.py as a user does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "agents" / "train_rllib.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


def test_ppo_trains_in_processes_of_ray_and_is_saved(tmp_path):
    out = tmp_path / "agent"
    # Untrained agents lose a game of Breakout in some 200 steps.
    arguments = ["--game", "Breakout", "--env-runners", 1, "--envs", 2, "--steps", 1024]
    done = train(*arguments, "--out", out, "--set", "n_steps=256", "batch_size=128")
    assert done.returncode == 0, done.stderr
    returns = re.findall(r"^(\d+) steps: return (\d+\.\d+)$", done.stdout, re.MULTILINE)
    assert 1024 <= int(returns[-1][0]) < 1100
    assert 0 < float(returns[-1][1]) < 20

    agent = RLModule.from_checkpoint(out / "learner_group" / "learner" / "rl_module")
    env = make_env({"game": "Breakout"})
    observation, _ = env.reset(seed=0)
    chosen = agent["default_policy"].forward_inference({"obs": torch.tensor(observation[None])})
    assert chosen["action_dist_inputs"].shape == (1, env.action_space.n)
    env.close()


def test_wrong_arguments_end_training_with_one_line(tmp_path):
    done = train("--game", "Pongg", "--out", tmp_path / "agent")
    assert done.returncode == 2 and not (tmp_path / "agent").exists()
    assert "closest are Pong" in done.stderr and done.stderr.count("\n") == 1


def test_episodes_are_lives_and_games_tell_their_score():
    env = make_env({"game": "Breakout"})
    assert isinstance(env.observation_space, gym.spaces.Box)
    rng, lives, scored = np.random.default_rng(1), 0, 0.0
    env.reset(seed=1)
    while True:
        observation, reward, terminated, _, info = env.step(rng.integers(env.action_space.n))
        assert observation in env.observation_space and reward in (0, 1)
        scored += reward
        if terminated:
            lives += 1
            if "episode" in info:
                break
            env.reset()
    assert lives == 5
    assert info["episode"]["r"] >= scored > 0  # bricks further up are worth more than 1
    env.close()


@pytest.mark.parametrize(("worker", "threads"), [(0, 2), (1, 1)])
def test_only_worker_processes_are_given_one_thread(worker, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        config = EnvContext({"game": "Pong", "view": "slots", "flatten": True}, worker)
        env = make_env(config)
        assert env.observation_space.shape == (4 * 40,)
        assert torch.get_num_threads() == threads
        env.close()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("config", [{}, {"game": "Pong", "view": "pixels"}])
def test_incomplete_configurations_are_refused(config):
    with pytest.raises(ValueError, match="expected an env_config with a game"):
        make_env(config)
