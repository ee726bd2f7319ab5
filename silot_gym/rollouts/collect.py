"""Collects whole episodes of an Atari game into a store."""

import dataclasses
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from silot_gym.atari import make_atari, resolve_game
from silot_gym.files import one_writer
from silot_gym.rollouts.episode import RESET_ACTION, Episode, EpisodeBuilder
from silot_gym.rollouts.policies import Policy, RandomPolicy, SavedPolicy
from silot_gym.rollouts.store import RolloutError, RolloutInfo, RolloutStore

__all__ = ["collect"]

MIN_EPISODES = 6  # enough that validation and test episodes leave several to train on


def collect(
    folder: str | Path,
    game: str,
    *,
    num_frames: int,
    seed: int,
    policy: str | Path | None = None,
    trust_policy: bool = False,
    pooled: bool = True,
    frame_skip: int = 4,
    max_episode_frames: int = 2000,
    progress: bool = True,
) -> RolloutStore:
    """Plays whole episodes until the folder holds enough, and goes on where an earlier call ended.

    What happens in an episode depends on `seed` and the episode's number alone, so an interrupted
    collection that is called again ends with the same episodes as an uninterrupted one.

    Args:
        folder: Where the rollouts go; made if missing.
        game: Any spelling that `resolve_game` accepts.
        num_frames: Frames to hold at the end, at least; so are 6 episodes.
        seed: Not negative.
        policy: The run folder of an agent on slots (see `AgentPlayer`), a zip file saved by
            Stable-Baselines3 of an agent on frames (see `SavedPolicy`), or None for random actions.
        trust_policy: Whether the policy may be a zip file, whose pickles execute code.
        pooled: As in `make_atari`.
        frame_skip: As in `make_atari`.
        max_episode_frames: Longer episodes are cut here; the next one begins with a reset.
        progress: Whether to show a progress bar.

    Returns:
        The store, with the episodes of earlier calls.

    Raises:
        ImportError: A package that Atari games or the policy need is missing.
        RolloutError: The folder holds rollouts made in another way, or can't be read or written.
        BlockingIOError: Another process collects there.
        ValueError: An argument is out of range, or the policy doesn't fit the game.
    """
    for name, value, least in (
        ("num_frames", num_frames, 1),
        ("seed", seed, 0),
        ("max_episode_frames", max_episode_frames, 2),
    ):
        if value < least:
            raise ValueError(f"expected {name} >= {least}, got {value}")
    game = resolve_game(game)
    env = make_atari(game, pooled=pooled, frame_skip=frame_skip)
    try:
        player = _player(policy, trust_policy, env)
        height, width, _ = env.observation_space.shape or ()
        assert env.spec is not None  # gym.make gives every environment one
        info = RolloutInfo(
            game=game,
            frame_skip=frame_skip,
            pooled=pooled,
            sticky=float(env.spec.kwargs["repeat_action_probability"]),
            policy=player.description,
            seed=seed,
            max_episode_frames=max_episode_frames,
            frame_height=height,
            frame_width=width,
            versions={package: version(package) for package in ("ale-py", "gymnasium")},
        )
        with one_writer(Path(folder)):
            store = _open_or_create(Path(folder), info)
            done = store.num_frames
            with tqdm(
                total=num_frames, initial=done, desc=game, unit="frame", disable=not progress
            ) as bar:
                while done < num_frames or len(store) < MIN_EPISODES:
                    episode = _play(env, player, (seed, len(store)), max_episode_frames, bar)
                    store.append(episode)
                    done += len(episode)
    finally:
        env.close()
    return store


def _player(policy: str | Path | None, trusted: bool, env: gym.Env[Any, Any]) -> Policy:
    """Who plays."""
    if policy is None:
        return RandomPolicy(env)
    if Path(policy).is_dir():
        from silot_gym.agents.player import AgentPlayer  # which needs Stable-Baselines3

        return AgentPlayer(Path(policy), env)
    if not trusted:
        raise ValueError(
            f"{policy}: a zip file of Stable-Baselines3 executes code that is in it: pass "
            "--trust-policy (trust_policy=True) if you know who made it, or the folder of a run of "
            "agents/train.py, of which only numbers are read"
        )
    return SavedPolicy(policy, env)


def _open_or_create(folder: Path, info: RolloutInfo) -> RolloutStore:
    """Opens the rollouts in a folder if they were made as `info` says, or begins new ones."""
    if not RolloutStore.exists(folder):
        return RolloutStore.create(folder, info)
    store = RolloutStore.open(folder)
    for field in dataclasses.fields(info):
        found, wanted = getattr(store.info, field.name), getattr(info, field.name)
        if found != wanted:
            raise RolloutError(
                f"{folder}: holds rollouts with {field.name} {found!r}, but {wanted!r} was asked "
                "for: choose another folder or the same settings"
            )
    return store


def _play(
    env: gym.Env[Any, Any],
    policy: Policy,
    seed: tuple[int, int],
    max_frames: int,
    bar: "tqdm[Any]",
) -> Episode:
    """Plays one episode from a reset to its end, or to `max_frames` frames."""
    env_seed, policy_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    policy.start(policy_seed)
    frame, _ = env.reset(seed=env_seed)
    builder = EpisodeBuilder()
    builder.add(frame, RESET_ACTION)
    bar.update()
    ended = False
    while not ended and len(builder) < max_frames:
        action = policy.action(frame)
        frame, _, terminated, truncated, _ = env.step(action)
        builder.add(frame, action)
        bar.update()
        ended = terminated or truncated
    return builder.build()
