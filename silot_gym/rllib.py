"""Agents of Ray's RLlib on tracked objects, on one machine or on many; needs the extra `rllib`."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import torch
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.tune import register_env
from stable_baselines3.common.monitor import Monitor

from silot_gym.agents.envs import for_training
from silot_gym.atari import make_atari
from silot_gym.slot_vector import SlotVectorObservation
from silot_gym.wrappers import SILOTObjectWrapper

__all__ = ["ENV_NAME", "GameReturns", "make_env", "register"]

ENV_NAME = "silot_gym"
"""What the environment is called in RLlib once it is registered."""
GAMES_AVERAGED = 100
"""Finished games over which the return is averaged, as in Stable-Baselines3."""


def register() -> None:
    """Makes `make_env` known to RLlib as `ENV_NAME`.

    Example:
        >>> register()
        >>> config = PPOConfig().environment(ENV_NAME, env_config={"game": "Pong"})
        >>> config.env
        'silot_gym'
    """
    register_env(ENV_NAME, make_env)


def make_env(config: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """Makes an Atari game, played as in `silot_gym.agents`, that shows its objects.

    Rewards are clipped to their sign, an episode ends with a lost life, and FIRE is pressed where
    that starts a game. The `info` with which a whole game ends has its score as
    `info["episode"]["r"]`, unclipped.

    Args:
        config: RLlib's `env_config`. `game` is one of ale-py's in any usual spelling. `view` is
            "vector" (the default), which is `SlotVectorObservation`, or "slots", for networks of
            your own. The rest goes to `SILOTObjectWrapper`: `checkpoint` must be at the same place
            on each machine, if it is not the name of a bundled one.

    Raises:
        CheckpointError: The checkpoint is missing or damaged.
        ValueError: There is no such game or view, or something is wrong with the arguments of
            `SILOTObjectWrapper`.
    """
    arguments = dict(config)
    game, view = arguments.pop("game", None), arguments.pop("view", "vector")
    if game is None or view not in ("vector", "slots"):
        raise ValueError(
            "expected an env_config with a game, and vector or slots if it has a view, got "
            f"{dict(config)}"
        )
    if getattr(config, "worker_index", 0) > 0:
        # In a process of Ray's. Such processes would fight for the cores.
        torch.set_num_threads(1)
    # Monitor lies below what changes rewards and episodes: it tells the score of whole games.
    env = for_training(Monitor(make_atari(game)))
    if view == "slots":
        return SILOTObjectWrapper(env, **arguments)
    seen = {"attributes": ("presence", "where", "velocity")}
    return SlotVectorObservation(SILOTObjectWrapper(env, **(seen | arguments)))


class GameReturns(RLlibCallback):  # type: ignore[misc]  # mypy may run where there is no Ray
    """Logs the mean score of the last whole games as `game_return_mean` of the env runners.

    RLlib's own `episode_return_mean` is that of the episodes of `make_env`: one life each, rewards
    clipped.
    """

    def on_episode_end(
        self, *, episode: SingleAgentEpisode, metrics_logger: MetricsLogger, **kwargs: Any
    ) -> None:
        """Takes note of the game's score if the game has ended, too, and not only a life."""
        game = episode.get_infos(-1).get("episode")
        if game is not None:
            metrics_logger.log_value(
                "game_return_mean", float(game["r"]), reduce="mean", window=GAMES_AVERAGED
            )
