"""Trains an agent of Stable-Baselines3 on the objects or on the pixels of an Atari game.

Example: python agents/train.py --game Boxing --obs slots
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import TqdmExperimentalWarning

from silot_gym.agents.config import AgentConfig, Observation, View, default_folder
from silot_gym.agents.evaluation import describe, evaluate
from silot_gym.agents.run import AgentRun
from silot_gym.agents.settings import Algorithm
from silot_gym.agents.training import train
from silot_gym.device import check_device
from silot_gym.files import one_writer, write_atomically


@dataclass(frozen=True)
class Args:
    """Trains an agent on the objects or on the pixels of an Atari game."""

    game: str
    """Any game of ale-py, in any usual spelling."""
    out: Path | None = None
    """The run's folder; runs/<Game>-<obs>-<algo>-<seed> if not given."""
    obs: Observation = "slots"
    """What the agent sees: SILOT's slots; connected components in place of SILOT; pixels; or the
    objects that OC_Atari reads from the console's memory."""
    view: View | None = None
    """How the network reads objects: as a vector ordered by type (the default), as a set by
    attention, or as a deep set."""
    checkpoint: str | None = None
    """Folder or bundled name of the checkpoint, for slots and components; by default the one that
    is bundled for the game."""
    algo: Algorithm = "ppo"
    """The algorithm of Stable-Baselines3."""
    set: tuple[str, ...] = ()
    """Hyper-parameters that are not the default, such as gamma=0.995 n_epochs=8; see
    silot_gym/agents/settings.py."""
    steps: int = 500_000
    """Steps of the environments, all together, of four frames each."""
    envs: int = 8
    """Environments side by side."""
    seed: int = 0
    """Of environments, network and actions."""
    eval_every: int = 100_000
    """Steps between evaluations."""
    eval_episodes: int = 20
    """Episodes of the evaluation at the end."""
    resume: bool = False
    """Go on with an interrupted training in the same folder."""
    device: str = "cpu"
    """Where the networks run, as torch names it."""
    threads: int = 1
    """Threads of torch. More than one seldom help networks of this size."""
    progress: bool = True
    """Whether to show a progress bar."""


def main(args: Args) -> None:
    """Trains, saves and evaluates an agent."""
    # One episode would have no spread.
    for name, least in (("eval_every", 1), ("eval_episodes", 2), ("threads", 1)):
        if (value := getattr(args, name)) < least:
            option = name.replace("_", "-")
            raise ValueError(f"expected --{option} of at least {least}, got {value}")
    check_device(args.device)
    # Stable-Baselines3's bar is of this kind.
    warnings.simplefilter("ignore", TqdmExperimentalWarning)
    torch.set_num_threads(args.threads)
    config = AgentConfig.resolve(
        game=args.game,
        obs=args.obs,
        view=args.view,
        checkpoint=args.checkpoint,
        algo=args.algo,
        changes=args.set,
        steps=args.steps,
        envs=args.envs,
        seed=args.seed,
    )
    agent_run = AgentRun(args.out or default_folder(config))
    if args.resume:
        agent_run.config()  # or a folder that isn't there would be made
    with one_writer(agent_run.folder):
        train(
            config,
            agent_run,
            resume=args.resume,
            device=args.device,
            eval_every=args.eval_every,
            progress=args.progress,
        )
        figures = evaluate(
            agent_run, args.eval_episodes, device=args.device, progress=args.progress
        )
        text = json.dumps(figures, indent=2) + "\n"
        write_atomically(agent_run.evaluation_file, text.encode())
    print(describe(figures))
