"""Draws learning curves of agents as a PNG: return over steps and over time.

Example: python agents/plot.py --runs runs/Boxing-slots-ppo-* runs/Boxing-pixels-ppo-*
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from silot_gym.agents.config import AgentConfig
from silot_gym.agents.curves import plot_curves
from silot_gym.agents.run import AgentRun


@dataclass(frozen=True)
class Args:
    """Draws learning curves of agents; runs that differ by seed only become one line."""

    runs: tuple[Path, ...]
    """Folders of agents, all of one game."""
    out: Path = Path("curves.png")
    """The picture."""
    clock: Literal["seconds", "cpu_seconds"] = "seconds"
    """Wall-clock, or time of the process, which other programs on the machine don't lengthen."""


def main(args: Args) -> None:
    """Groups the runs and draws them."""
    groups: dict[AgentConfig, list[AgentRun]] = defaultdict(list)
    for folder in args.runs:
        config = AgentRun(folder).config()
        groups[replace(config, seed=0)].append(AgentRun(folder))
    games = {config.game for config in groups}
    if len(games) != 1:
        raise ValueError(f"expected --runs of one game, got {sorted(games)}")
    lines: dict[str, list[AgentRun]] = {}
    for config, runs in groups.items():
        view = "" if config.obs == "pixels" or config.view == "vector" else f" ({config.view})"
        name = f"{config.obs}{view}, {config.algo}"
        # Settings that are not the same are told apart by the folder's name.
        lines[f"{name}, {runs[0].folder.name}" if name in lines else name] = runs
    plot_curves(lines, args.out, games.pop(), args.clock)
    print(f"curves: {args.out}")
