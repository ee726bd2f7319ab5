"""How well trained agents play, unchanged, in games that look or move otherwise."""

from silot_gym.programs import require

require("agents", "ale_py", "cv2", "PIL", "rich", "stable_baselines3", "tabulate", "tqdm", "tyro")

# isort: split
import json
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from silot_gym.agents.envs import Change, make_envs
from silot_gym.agents.evaluation import FINAL_SEED, evaluate
from silot_gym.agents.run import AgentRun
from silot_gym.evaluation.changed_dynamics import LazyEnemy, StoppedCars
from silot_gym.evaluation.changed_looks import ChangedLook, changes_of
from silot_gym.files import write_atomically
from silot_gym.programs import processor, run

UNCHANGED, RANDOM = "unchanged", "random play"
DYNAMICS: dict[str, dict[str, Change]] = {
    "Freeway": {"all cars stand still": StoppedCars},
    "Pong": {"lazy enemy": LazyEnemy},
}
"""By game, what moves otherwise, by name."""
FILE = "robustness_agents.json"

Figures = dict[str, Any]


@dataclass(frozen=True)
class Args:
    """How well trained agents play, unchanged, in games that look or move otherwise.

    Writes `robustness_agents.json` after each figure, and goes on from there: an agent's changes
    whose figures are there are not played again.
    """

    runs: tuple[Path, ...]
    """Folders of agents, as agents/train.py makes them."""
    episodes: int = 10
    """Games for each change."""
    results: Path = Path("benchmarks/results")
    """Folder for the JSON file."""
    progress: bool = True
    """Whether to show progress bars."""


def main(args: Args) -> None:
    """Play, write, print a table."""
    torch.set_num_threads(1)
    configs = {folder: AgentRun(folder).config() for folder in args.runs}
    args.results.mkdir(parents=True, exist_ok=True)
    out = args.results / FILE
    report: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {"agents": {}}
    report |= {"command": f"python {shlex.join(sys.argv)}", "cpu": processor()}
    for folder, config in configs.items():
        name = f"{config.game}-{config.obs}-{config.seed}"
        figures: dict[str, Figures] = report["agents"].setdefault(name, {})
        for change, changes in changes_by_name(config.game).items():
            if change in figures:
                continue
            figures[change] = (
                random_play(AgentRun(folder), args.episodes)
                if change == RANDOM
                else played(AgentRun(folder), args, changes)
            )
            write_atomically(out, (json.dumps(report, indent=1) + "\n").encode())
    print(table(report["agents"]))
    print(f"figures: {out}")


def changes_by_name(game: str) -> dict[str, dict[str, Any]]:
    """What is done to a game, as arguments of `evaluate`: nothing, its looks, its dynamics."""
    looks = {name: {"look": partial(ChangedLook, change=name)} for name in changes_of(game)}
    moves = {name: {"dynamics": wrapper} for name, wrapper in DYNAMICS.get(game, {}).items()}
    return {RANDOM: {}, UNCHANGED: {}, **looks, **moves}


def played(agent_run: AgentRun, args: Args, changes: dict[str, Any]) -> Figures:
    """The agent's returns."""
    figures = evaluate(agent_run, args.episodes, progress=args.progress, **changes)
    return {name: figures[name] for name in ("mean_return", "interval", "returns")}


def random_play(agent_run: AgentRun, episodes: int) -> Figures:
    """Returns of uniformly random actions in the agent's environments."""
    config = agent_run.config()
    envs = make_envs(config, min(8, episodes), config.seed + FINAL_SEED)
    rng = np.random.default_rng(config.seed)
    returns: list[float] = []
    envs.reset()
    while len(returns) < episodes:
        actions = rng.integers(envs.action_space.n, size=envs.num_envs)  # type: ignore[attr-defined]
        _, _, _, infos = envs.step(actions)
        returns += [float(info["episode"]["r"]) for info in infos if "episode" in info]
    envs.close()
    return {"mean_return": float(np.mean(returns)), "returns": returns}


def table(agents: dict[str, dict[str, Figures]]) -> str:
    """A line for each change of each agent, in Markdown.

    `kept` is what is left of the distance between the agent's return and that of random play.
    """
    lines = []
    for agent, figures in agents.items():
        base = figures[RANDOM]["mean_return"]
        reached = figures[UNCHANGED]["mean_return"] - base
        for change, of_change in figures.items():
            mean = of_change["mean_return"]
            kept = f"{(mean - base) / reached:.2f}" if reached > 0 else ""
            lines.append({"agent": agent, "change": change, "return": f"{mean:.1f}", "kept": kept})
    return str(tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    run(main, Args)
