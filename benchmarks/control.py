"""Agents on slots, on connected components and on pixels: who learns faster, over steps and time.

Example: python benchmarks/control.py --games Boxing Pong --seeds 0 1
"""

from silot_gym.programs import require

require("agents", "ale_py", "cv2", "matplotlib", "rich", "stable_baselines3", "tqdm", "tyro")

# isort: split
import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate

from silot_gym.agents.config import Observation
from silot_gym.agents.curves import Episodes, draw_curves, read_episodes
from silot_gym.agents.run import AgentRun
from silot_gym.files import write_atomically
from silot_gym.programs import processor, run

TRAIN = Path(__file__).parents[1] / "agents" / "train.py"
PACKAGES = ("silot_gym", "torch", "numpy", "gymnasium", "ale_py", "stable_baselines3")
KEPT = ("steps", "return", "cpu_seconds")
"""What is kept of each episode of a training."""

Report = dict[str, Any]


@dataclass(frozen=True)
class Args:
    """Trains PPO on slots, components and pixels with equal steps, and compares the agents.

    Each training is a run of `agents/train.py` with its default settings, one thread, in a folder
    of its own. What is finished is not trained again, and what was interrupted goes on. Writes
    `control_<Game>.json` and the curves `control.png`, from all games whose figures are there.
    """

    games: tuple[str, ...] = ("Boxing", "Freeway", "Pong", "Breakout")
    """Games, as ale-py spells them."""
    obs: tuple[Observation, ...] = ("slots", "components", "pixels")
    """What the agents see. (`memory` needs an environment of its own, with OC_Atari.)"""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the trainings."""
    steps: int = 500_000
    """Agent steps of each training, of four frames each."""
    runs: Path = Path("runs/control")
    """Folder for the runs."""
    results: Path = Path("benchmarks/results")
    """Folder for the figures."""
    progress: bool = True
    """Whether to show progress bars."""
    train: bool = True
    """Whether to train what is missing; if not, the figures are of what is finished."""


def main(args: Args) -> None:
    """Train, gather, draw."""
    if args.train:
        for seed in args.seeds:
            for game in args.games:
                for obs in args.obs:
                    _train(args, game, obs, seed)
    for game in args.games:
        finished = [
            AgentRun(file.parent) for file in sorted(args.runs.glob(f"{game}-*-*/evaluation.json"))
        ]
        if finished:
            report = {
                "command": f"python {shlex.join(sys.argv)}",
                "game": game,
                "cpu": processor(),
                "versions": {package: version(package) for package in PACKAGES},
                "runs": [_figures(agent_run) for agent_run in finished],
            }
            text = json.dumps(report) + "\n"
            write_atomically(args.results / f"control_{game}.json", text.encode())
    reports = [json.loads(file.read_text()) for file in sorted(args.results.glob("control_*.json"))]
    _draw(reports, args.results / "control.png")
    print(table(reports))


def _train(args: Args, game: str, obs: str, seed: int) -> None:
    """One training in a process of its own, with one thread."""
    agent_run = AgentRun(args.runs / f"{game}-{obs}-{seed}")
    if agent_run.evaluation_file.is_file():
        return
    command = [sys.executable, os.path.relpath(TRAIN), "--game", game, "--obs", obs]
    command += ["--seed", str(seed), "--steps", str(args.steps), "--out", str(agent_run.folder)]
    command.append("--progress" if args.progress else "--no-progress")
    if agent_run.config_file.is_file():
        command.append("--resume")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        raise ValueError(f"the training in {agent_run.folder} did not finish: see above")


def _figures(agent_run: AgentRun) -> Report:
    """What is told of a finished run."""
    episodes = read_episodes(agent_run)
    return {
        "config": asdict(agent_run.config()),
        "evaluation": json.loads(agent_run.evaluation_file.read_text()),
        "episodes": {name: episodes[name].tolist() for name in KEPT},
    }


def _groups(report: Report) -> dict[str, list[Report]]:
    """A game's runs by what the agents see."""
    groups = defaultdict(list)
    for of_run in report["runs"]:
        groups[of_run["config"]["obs"]].append(of_run)
    return dict(groups)


def _draw(reports: Sequence[Report], file: Path) -> None:
    """Curves of all games, a row each: over steps and over time."""
    figure = Figure(figsize=(10, 3 * len(reports)), layout="constrained")
    rows = figure.subplots(len(reports), 2, squeeze=False, sharey="row")
    for report, row in zip(reports, rows, strict=True):
        curves: dict[str, list[Episodes]] = {
            obs: [
                {name: np.array(values) for name, values in of_run["episodes"].items()}
                for of_run in of_group
            ]
            for obs, of_group in _groups(report).items()
        }
        for axes, over in zip(row, ("steps", "cpu_seconds"), strict=True):
            draw_curves(axes, curves, over)
            axes.set_title(report["game"])
        row[0].legend(frameon=False)
    figure.savefig(file, dpi=110)


def table(reports: Sequence[Report]) -> str:
    """Returns and speed, a line for each game and kind of observation, in Markdown."""
    lines = []
    for report in reports:
        for obs, of_group in _groups(report).items():
            means = [of_run["evaluation"]["mean_return"] for of_run in of_group]
            speeds = [
                of_run["episodes"]["steps"][-1] / of_run["episodes"]["cpu_seconds"][-1]
                for of_run in of_group
            ]
            lines.append(
                {
                    "game": report["game"],
                    "obs": obs,
                    "return": f"{np.mean(means):.1f}",
                    "of each seed": ", ".join(f"{mean:.1f}" for mean in means),
                    "steps a second": f"{np.mean(speeds):.0f}",
                }
            )
    return str(tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    run(main, Args)
