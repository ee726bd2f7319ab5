"""Collects episodes of Atari games and keeps them on disk."""

from silot_gym.rollouts.collect import collect
from silot_gym.rollouts.episode import RESET_ACTION, Episode, EpisodeBuilder
from silot_gym.rollouts.store import RolloutError, RolloutInfo, RolloutStore, split

__all__ = [
    "RESET_ACTION",
    "Episode",
    "EpisodeBuilder",
    "RolloutError",
    "RolloutInfo",
    "RolloutStore",
    "collect",
    "split",
]
