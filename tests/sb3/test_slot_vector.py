"""Vectors of slots on real frames, and agents that read them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from silot_gym import make_atari
from silot_gym.agents.config import AgentConfig
from silot_gym.agents.run import build
from silot_gym.agents.settings import PPOSettings
from silot_gym.sb3 import SILOTVecWrapper, SlotVector
from silot_gym.slot_rows import SlotRows

ROOT = Path(__file__).parents[2]
ATTRIBUTES = ("presence", "where", "velocity", "category")
LENGTHS = (30, 22)
"""Steps of the episodes of two lanes, in the first of which Pong shows its paddles."""


class Record(VecEnvWrapper):
    """Keeps what went through it: (slots, dones, infos, reset_infos) of each step."""

    def reset(self):
        slots = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        self.seen = [(slots.copy(), None, None, [*self.reset_infos])]
        return slots

    def step_wait(self):
        slots, rewards, dones, infos = self.venv.step_wait()
        self.reset_infos = self.venv.reset_infos
        kept = [dict(info) for info in infos]
        self.seen.append((slots.copy(), dones.copy(), kept, [*self.reset_infos]))
        return slots, rewards, dones, infos


def slots(checkpoint="Pong", **kwargs):
    """`SILOTVecWrapper` of games that are cut short."""
    makers = [lambda n=n: TimeLimit(make_atari("Pong"), n) for n in LENGTHS]
    envs = SILOTVecWrapper(DummyVecEnv(makers), checkpoint, attributes=ATTRIBUTES, **kwargs)
    envs.seed(0)
    return envs


@pytest.fixture(scope="module")
def episodes():
    """The environments; and for each step what they showed and what they made it from."""
    record = Record(slots())
    envs = SlotVector(record)
    rng = np.random.default_rng(0)
    shown = [(envs.reset(), None)]
    for _ in range(2 * max(LENGTHS)):
        vectors, _, _, infos = envs.step(rng.integers(0, 6, 2))
        shown.append((vectors, infos))
    envs.close()
    return envs, shown, record.seen


def test_vectors_are_what_rows_make_of_the_slots(episodes):
    envs, shown, seen = episodes
    first = np.array([0])
    ended = 0
    for lane in range(2):
        rows = SlotRows(1, seen[0][0].shape[1], envs.slot_layout, envs.view.rows)
        for (vectors, vector_infos), (tables, dones, infos, begun) in zip(shown, seen, strict=True):
            over = dones is None or dones[lane]
            if dones is not None:
                last = infos[lane]["terminal_observation"] if over else tables[lane]
                expected = rows.observe(last[None], [infos[lane]["objects"]], first)[0]
            if dones is not None and over:
                terminal = vector_infos[lane]["terminal_observation"]
                np.testing.assert_array_equal(terminal, expected)
                ended += 1
            if over:
                rows.forget(first)
                expected = rows.observe(tables[lane][None], [begun[lane]["objects"]], first)[0]
            np.testing.assert_array_equal(vectors[lane], expected)
            assert vectors[lane] in envs.observation_space
    assert ended == 4


def test_an_episode_ends_with_its_tracks_and_the_next_begins_without(episodes):
    _, shown, _ = episodes
    for lane, length in enumerate(LENGTHS):
        vectors, infos = shown[length]
        assert infos[lane]["TimeLimit.truncated"]
        last = infos[lane]["terminal_observation"].reshape(-1, 2, 7)
        before = shown[length - 1][0][lane].reshape(-1, 2, 7)
        followed = last[:, 1, 0] > 0
        assert followed.sum() >= 2  # the paddles
        np.testing.assert_array_equal(last[followed, 1], before[followed, 0])
        first = vectors[lane].reshape(-1, 2, 7)
        assert not first[:, 1].any()  # the new episode has no past


def test_rows_without_types(tiny_checkpoint):
    envs = SILOTVecWrapper(
        DummyVecEnv([lambda: make_atari("Pong")]), tiny_checkpoint, attributes=ATTRIBUTES[:3]
    )
    with pytest.raises(ValueError, match="expected a checkpoint with types of objects"):
        SlotVector(envs)
    with pytest.raises(ValueError, match="expected rows for each of 1 types"):
        SlotVector(envs, [2, 3])
    vectors = SlotVector(envs, [4])
    vectors.seed(0)
    shown = (vectors.reset().reshape(4, 2, 7)[:, 0, 0] > 0).sum()
    assert shown == min(4, (vectors.venv.reset_infos[0]["objects"]["track_id"] >= 0).sum()) > 0
    vectors.close()


def test_what_makes_no_vector_is_refused(typed_checkpoint):
    flat = slots(typed_checkpoint, flatten=True)
    with pytest.raises(ValueError, match=r"expected slots \(K, D\).*leave flatten"):
        SlotVector(flat)
    with pytest.raises(ValueError, match="expected rows for each of 3 types, got"):
        SlotVector(slots(typed_checkpoint), [1])
    with pytest.raises(ValueError, match="expected rows and history of at least 1"):
        SlotVector(slots(typed_checkpoint), history=0)


ELSEWHERE = """
import sys
import numpy as np
import torch
from stable_baselines3 import PPO
for view in sys.argv[2:]:
    agent = PPO.load(f"{sys.argv[1]}/{view}.zip")
    observations = torch.from_numpy(np.load(f"{sys.argv[1]}/{view}.npy"))
    with torch.no_grad():
        seen = agent.policy.get_distribution(observations).distribution.probs
    np.save(f"{sys.argv[1]}/{view}-seen.npy", seen.numpy())
"""


def test_saved_agents_act_alike_in_another_process(typed_checkpoint, tmp_path):
    expected = {}
    for view in ("vector", "attention", "deepset"):
        envs = slots(typed_checkpoint)
        if view == "vector":
            envs = SlotVector(envs)
        settings = PPOSettings(n_steps=8, batch_size=16, net_arch=(16,))
        config = AgentConfig("Pong", view=view, settings=settings, steps=16, envs=2)
        agent = build(config, envs, "cpu")
        space = envs.observation_space
        observations = np.random.default_rng(0).uniform(space.low, space.high, (64, *space.shape))
        np.save(tmp_path / f"{view}.npy", observations.astype(np.float32))
        agent.save(tmp_path / view)
        with torch.no_grad():
            seen = torch.from_numpy(observations.astype(np.float32))
            expected[view] = agent.policy.get_distribution(seen).distribution.probs.numpy()
        assert (expected[view].std(0) > 0).all()
        envs.close()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path), *expected]
    subprocess.run(command, env=environment, cwd=elsewhere, check=True)
    for view, probabilities in expected.items():
        seen = np.load(tmp_path / f"{view}-seen.npy")
        np.testing.assert_allclose(seen, probabilities, rtol=1e-5, err_msg=view)
