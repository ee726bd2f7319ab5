import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv

from silot_gym import SILOTObjectWrapper, SlotVectorObservation, make_atari
from silot_gym.sb3 import SILOTVecWrapper, SlotVector


def pong(steps):
    """Pong with episodes of some steps."""
    return TimeLimit(make_atari("Pong"), steps)


def test_shows_what_sb3s_view_shows_last_frames_of_episodes_included():
    lengths, seed = (13, 20), 3
    envs = SlotVector(SILOTVecWrapper(DummyVecEnv([lambda n=n: pong(n) for n in lengths])))
    singles = [SlotVectorObservation(SILOTObjectWrapper(pong(n))) for n in lengths]
    assert singles[0].observation_space == envs.observation_space

    def same(one, other):
        # Lanes side by side round differently from one alone.
        np.testing.assert_allclose(one, other, atol=1e-4)

    envs.seed(seed)
    vectors = envs.reset()
    for lane, single in enumerate(singles):
        same(single.reset(seed=seed + lane)[0], vectors[lane])
    actions = np.random.default_rng(0).integers(envs.action_space.n, size=(45, 2))
    objects_seen = 0
    for both in actions:
        vectors, _, dones, infos = envs.step(both)
        for lane, single in enumerate(singles):
            vector, _, terminated, truncated, _ = single.step(both[lane])
            assert dones[lane] == (terminated or truncated)
            if dones[lane]:
                same(vector, infos[lane]["terminal_observation"])
                vector, _ = single.reset()
            same(vector, vectors[lane])
            objects_seen = max(objects_seen, (vector[::7] > 0).sum())
    assert objects_seen >= 4  # two paddles, in this step and the last
    for env in (envs, *singles):
        env.close()


def test_is_an_environment_that_its_spec_makes_again():
    env = SlotVectorObservation(SILOTObjectWrapper(make_atari("Pong"), "Pong"), rows=[1, 1, 2])
    assert env.observation_space.shape == (4 * 2 * 7,)
    check_env(env, skip_render_check=True)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.observation_space == env.observation_space
    env.close()
    again.close()


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda env, tiny: env, "expected a SILOTObjectWrapper, got"),
        (lambda env, tiny: SILOTObjectWrapper(env, flatten=True), "leave flatten"),
        (lambda env, tiny: SILOTObjectWrapper(env, attributes=["where"]), "expected slots with"),
        (lambda env, tiny: SILOTObjectWrapper(env, tiny), "or say how many rows with rows="),
    ],
)
@pytest.mark.filterwarnings("ignore:the checkpoint was made for")
def test_other_environments_are_refused(wrap, message, tiny_checkpoint):
    env = wrap(make_atari("Pong"), tiny_checkpoint)
    with pytest.raises(ValueError, match=message):
        SlotVectorObservation(env)
    env.close()
