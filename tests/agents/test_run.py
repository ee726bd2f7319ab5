"""Agents come back from their folders, or one line says why not."""

import base64
import json
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from silot_gym.agents.run import AgentRun, build, load_weights
from tests.agents.toy import make_envs, small_config

CONFIG = small_config(steps=40)


def agent_of(seed=0, config=CONFIG):
    envs = VecNormalize(make_envs(config, 2, seed), norm_obs=False)
    agent = build(config, envs, "cpu")
    agent.set_random_seed(seed)
    with torch.no_grad():
        for parameter in agent.policy.parameters():
            parameter.add_(torch.randn_like(parameter))
    return agent


def weights(agent):
    return {name: value.clone() for name, value in agent.policy.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture
def run(tmp_path):
    """A finished run."""
    run = AgentRun(tmp_path / "run")
    run.folder.mkdir()
    run.config_file.write_text(CONFIG.to_json())
    agent_of(seed=1).save(run.agent_file)
    return run


def save(run, agent, steps, variance):
    """Saves an unfinished agent as Stable-Baselines3's `CheckpointCallback` does."""
    run.checkpoints.mkdir(exist_ok=True)
    rewards = agent.get_vec_normalize_env()
    rewards.ret_rms.var = np.array(variance)
    agent.save(run.checkpoints / f"agent_{steps}_steps.zip")
    rewards.save(str(run.checkpoints / f"agent_vecnormalize_{steps}_steps.pkl"))


def halve(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_trained_agent_is_the_same_in_as_many_lanes_as_you_like(run):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent = run.load(make_envs(CONFIG, 1, 0))
    observations = torch.rand(50, 3) * 2 - 1
    loaded, expected = (
        a.policy.get_distribution(observations).distribution.probs
        for a in (agent, agent_of(seed=1))
    )
    assert torch.equal(loaded, expected) and not torch.equal(loaded[0], loaded[1])


def test_the_last_save_counts(run):
    saved = {steps: agent_of(seed=steps) for steps in (20, 100, 300)}
    for steps, agent in saved.items():
        save(run, agent, steps, variance=steps)
    assert run.saved_steps() == [300, 100, 20]
    agent = agent_of()
    assert run.restore(agent) == agent.num_timesteps == 300
    assert same(weights(agent), weights(saved[300]))
    assert agent.get_vec_normalize_env().ret_rms.var == 300


def test_half_written_saves_are_passed_over(run):
    saved = {steps: agent_of(seed=steps) for steps in (100, 200, 300, 400)}
    for steps, agent in saved.items():
        save(run, agent, steps, variance=steps)
    halve(run.checkpoints / "agent_200_steps.zip")
    halve(run.checkpoints / "agent_vecnormalize_300_steps.pkl")
    (run.checkpoints / "agent_vecnormalize_400_steps.pkl").unlink()
    agent = agent_of()
    assert run.restore(agent) == agent.num_timesteps == 100
    assert same(weights(agent), weights(saved[100]))
    assert agent.get_vec_normalize_env().ret_rms.var == 100


def test_without_a_whole_save_the_agent_is_as_it_was(run):
    save(run, agent_of(seed=1), 100, variance=5)
    halve(run.checkpoints / "agent_vecnormalize_100_steps.pkl")
    agent = agent_of()
    before = weights(agent)
    assert run.restore(agent) == agent.num_timesteps == 0
    assert same(weights(agent), before)
    assert agent.get_vec_normalize_env().ret_rms.var == 1
    assert AgentRun(run.folder / "nothing").restore(agent) == 0


def message(run):
    with pytest.raises(ValueError) as caught:
        run.load(make_envs(CONFIG, 2, 0))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_run_is_an_error_with_the_file(run):
    run.config_file.write_text("{}")
    assert message(run).startswith(f"{run.config_file}: expected the configuration of an agent")
    run.config_file.unlink()
    assert message(run) == f"expected a run of agents/train.py, found no {run.config_file}"


@pytest.mark.parametrize("damage", [halve, lambda file: file.write_text("no zip")])
def test_a_damaged_agent_is_an_error_with_the_file(damage, run):
    damage(run.agent_file)
    assert message(run).startswith(f"{run.agent_file}: expected an agent of this run, got")


def test_an_agent_of_another_run_is_an_error(run):
    agent_of(config=small_config(net_arch=(16,))).save(run.agent_file)
    assert message(run).startswith(f"{run.agent_file}: expected an agent of this run, got")
    run.agent_file.unlink()
    assert "finish the training with --resume" in message(run)


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def replace_in_zip(file, name, content):
    """Puts other content under a name in a zip."""
    old = file.with_suffix(".old")
    shutil.move(file, old)
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(file, "w") as target:
        for item in source.namelist():
            target.writestr(item, content if item == name else source.read(item))


def test_loading_executes_nothing_of_the_file(run, tmp_path):
    traces = tmp_path / "was-here"
    pickled = base64.b64encode(pickle.dumps(Attack(traces))).decode()
    with zipfile.ZipFile(run.agent_file) as archive:
        data = json.loads(archive.read("data"))
    data["lr_schedule"] = {":type:": "function", ":serialized:": pickled}
    replace_in_zip(run.agent_file, "data", json.dumps(data))

    agent = run.load(make_envs(CONFIG, 2, 0))
    assert same(weights(agent), weights(agent_of(seed=1)))
    assert not traces.exists()
    # The attack is one: whoever loads all of the file is hit.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PPO.load(run.agent_file)
    assert traces.exists()


def test_weights_that_are_no_tensors_are_refused(run, tmp_path):
    traces = tmp_path / "was-here"
    torch.save({"weight": Attack(traces)}, tmp_path / "attack.pth")
    replace_in_zip(run.agent_file, "policy.pth", (tmp_path / "attack.pth").read_bytes())
    with pytest.raises(ValueError, match="expected an agent of this run"):
        load_weights(agent_of(), run.agent_file)
    assert not traces.exists()


def test_settings_that_the_algorithm_refuses_are_an_error():
    config = small_config(batch_size=1)
    with pytest.raises(ValueError, match=r"expected other settings of ppo: .*batch_size"):
        build(config, make_envs(config, 2, 0), "cpu")
