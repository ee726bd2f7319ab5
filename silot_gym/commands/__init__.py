"""The commands of `silot-gym`, each a module with typed `Args` and a `main` that takes them."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from silot_gym.programs import require, run

__all__ = ["COMMANDS", "run_command"]


class Command(NamedTuple):
    """What a command needs.

    Attributes:
        about: what it does, in a line.
        extra: the extra of the package that installs what it needs.
        packages: what it needs, by the names to import.
    """

    about: str
    extra: str
    packages: tuple[str, ...]


_GAMES = ("ale_py", "cv2", "tyro")
_TRAINING = (*_GAMES, "imageio", "lightning_fabric", "sklearn", "tensorboard", "tqdm", "trackeval")
_AGENTS = (*_GAMES, "rich", "stable_baselines3", "tqdm")
COMMANDS = {
    "pretrain": Command("collect rollouts of a game and fit SILOT to them", "train", _TRAINING),
    "evaluate": Command(
        "score a checkpoint on held-out episodes",
        "train",
        (*_GAMES, "imageio", "tqdm", "trackeval"),
    ),
    "train-agent": Command("train an agent on slots", "agents", (*_AGENTS, "tensorboard")),
    "evaluate-agent": Command("play with a trained agent", "agents", (*_AGENTS, "imageio", "PIL")),
    "plot": Command("draw learning curves of agents", "agents", ("matplotlib", "tyro")),
    "watch": Command("show a game and its objects", "train", (*_GAMES, "imageio", "PIL", "tqdm")),
    "types": Command(
        "show the types of a game's objects", "train", (*_GAMES, "PIL", "sklearn", "tqdm")
    ),
    "games": Command("list the bundled checkpoints and how good they are", "train", ("tyro",)),
}


def run_command(name: str, arguments: Sequence[str] | None = None) -> None:
    """Runs a command of `COMMANDS` with arguments, by default those of the command line."""
    command = COMMANDS[name]
    require(command.extra, *command.packages)
    module = import_module(f"silot_gym.commands.{name.replace('-', '_')}")
    run(module.main, module.Args, sys.argv[1:] if arguments is None else arguments)
