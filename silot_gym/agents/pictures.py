"""What a trained agent does, and which objects move it, as pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from silot_gym.agents.envs import make_envs
from silot_gym.agents.run import AgentRun
from silot_gym.draw import SCALE, draw_objects, draw_saliency, enlarge
from silot_gym.sb3 import SILOTVecWrapper, SlotVector

MOMENTS = 6
"""How many moments of an episode a saliency picture shows."""


@dataclass(frozen=True)
class Moment:
    """What an agent saw at one step.

    Attributes:
        frame: (H, W, 3) uint8, as observed; as rendered for an agent on pixels.
        objects: `info["objects"]`, empty for an agent on pixels.
        strength: (K,) in [0, 1], how much each object moved the policy: the total variation
            distance between the distributions of actions with it and without it.
    """

    frame: NDArray[np.uint8]
    objects: dict[str, NDArray[Any]]
    strength: NDArray[np.float32]

    def picture(self) -> NDArray[np.uint8]:
        """The frame with its objects, enlarged."""
        return draw_objects(self.frame, self.objects) if self.objects else enlarge(self.frame)


def play(run: AgentRun, seed: int, device: str = "cpu", saliency: bool = False) -> Iterator[Moment]:
    """The moments of one game of a trained agent.

    Args:
        run: The agent's folder.
        seed: Of the game and the agent's actions.
        device: Where the networks run.
        saliency: Whether to find each object's strength, which otherwise is 0.
    """
    config = run.config()
    pixels = config.obs == "pixels"
    envs = make_envs(config, 1, seed, device=device, render_mode="rgb_array" if pixels else None)
    try:
        agent = run.load(envs, device)
        agent.set_random_seed(seed)
        observation = envs.reset()
        objects = {} if pixels else envs.reset_infos[0]["objects"]
        while True:
            yield _moment(agent, envs, observation, objects, saliency and not pixels)
            action, _ = agent.predict(
                observation,  # type: ignore[arg-type]
                deterministic=config.settings.deterministic,
            )
            observation, _, dones, infos = envs.step(action)
            if "episode" in infos[0]:
                return
            source = envs.reset_infos if dones[0] else infos
            objects = {} if pixels else source[0]["objects"]
    finally:
        envs.close()


def saliency_picture(moments: list[Moment]) -> NDArray[np.uint8]:
    """Moments at which objects moved the policy most, one from each part of a game, side by side.

    Args:
        moments: Those of a game, with strengths.

    Returns:
        (height, width, 3) uint8.
    """
    parts = np.array_split(np.arange(len(moments)), min(MOMENTS, len(moments)))
    chosen = [max(part, key=lambda t: moments[t].strength.max(initial=0)) for part in parts]
    return np.concatenate(
        [
            draw_saliency(moments[t].frame, moments[t].objects, moments[t].strength, SCALE)
            for t in chosen
        ],
        1,
    )


def _moment(
    agent: BaseAlgorithm,
    envs: VecEnv,
    observation: Any,
    objects: dict[str, NDArray[Any]],
    saliency: bool,
) -> Moment:
    tracked = unwrap_vec_wrapper(envs, SILOTVecWrapper)
    if tracked is None:
        frame = envs.get_images()[0]
        assert frame is not None  # they were made with a render mode
        return Moment(frame, objects, np.zeros(0, np.float32))
    strength = np.zeros(len(objects["track_id"]), np.float32)
    if saliency:
        slots, changed = _without_each(envs, observation, objects)
        if len(slots):
            chances = _action_chances(agent, np.concatenate([observation, changed]))
            strength[slots] = np.abs(chances[1:] - chances[0]).sum(1) / 2
    return Moment(tracked.frames[0], objects, strength)


def _without_each(
    envs: VecEnv, observation: NDArray[np.float32], objects: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Slots of the objects that the agent sees, and observations that lack one of them each."""
    vector = unwrap_vec_wrapper(envs, SlotVector)
    if vector is not None:
        slots = vector.view.slot[0]
        rows = np.flatnonzero(slots >= 0)
        lacking = [vector.view.without(observation, int(row)) for row in rows]
        return slots[rows], np.concatenate([*lacking, observation[:0]])
    slots = np.flatnonzero(objects["track_id"] >= 0)
    changed = observation.repeat(len(slots), 0)
    changed[np.arange(len(slots)), slots] = 0
    return slots, changed


@torch.no_grad()
def _action_chances(agent: BaseAlgorithm, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """The chance of each action, (N, A). Of DQN's values, the softmax."""
    seen, _ = agent.policy.obs_to_tensor(observations)
    if isinstance(agent, DQN):
        chances = agent.q_net(seen).softmax(-1)
    else:
        chances = agent.policy.get_distribution(seen).distribution.probs  # type: ignore[operator]
    return np.asarray(chances.cpu().numpy())
