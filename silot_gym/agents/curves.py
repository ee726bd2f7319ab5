"""Learning curves of agents, over steps and over time."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from silot_gym.agents.run import AgentRun
from silot_gym.agents.training import EPISODE_COLUMNS

POINTS = 200
"""Points of a curve."""
EPISODES = 50
"""A point is the mean over so many of the last episodes; fewer at the beginning."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, which colour-blind people can tell apart."""

Episodes = dict[str, NDArray[np.float64]]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_episodes(run: AgentRun) -> Episodes:
    """The columns of `episodes.csv`, one value for each episode of the training.

    Raises:
        ValueError: The folder has no such file, it is damaged, or no episode was finished.
    """
    if not run.episodes_file.is_file():
        raise ValueError(f"expected a run of agents/train.py, found no {run.episodes_file}")
    with run.episodes_file.open() as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{run.episodes_file}: expected finished episodes, found none")
    try:
        return {name: np.array([float(row[name]) for row in rows]) for name in EPISODE_COLUMNS}
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{run.episodes_file}: expected a number for each of {EPISODE_COLUMNS} in each line"
        ) from None


def curve(episodes: Episodes, over: str, grid: NDArray[np.float64]) -> Curve:
    """Mean return of the last `EPISODES` episodes at the places of a grid.

    Args:
        episodes: As from `read_episodes`.
        over: The column that the grid is of, `steps`, `seconds` or `cpu_seconds`.
        grid: (P,) ascending.

    Returns:
        The places where at least one episode had been finished and the training still went on,
        and the means.
    """
    finished = np.searchsorted(episodes[over], grid, side="right")
    total = np.concatenate([[0.0], np.cumsum(episodes["return"])])
    last = np.minimum(finished, EPISODES)
    known = (finished > 0) & (grid <= episodes[over][-1])
    means = (total[finished] - total[finished - last])[known] / last[known]
    return grid[known], means


def draw_curves(axes: Axes, groups: Mapping[str, Sequence[Episodes]], over: str) -> None:
    """Draws a line for each group, the mean over its seeds, with their range around it.

    Args:
        axes: Where to.
        groups: Episodes of the runs of each group, by its name.
        over: As in `curve`.

    Raises:
        ValueError: A run of a group ended before another one's first episode did.
    """
    # Minutes, as nobody reads thousands of seconds.
    unit = 1.0 if over == "steps" else 60.0
    for (name, runs), colour in zip(groups.items(), COLOURS * len(groups), strict=False):
        end = min(episodes[over][-1] for episodes in runs)
        start = max(episodes[over][0] for episodes in runs)
        if start > end:
            raise ValueError(f"expected runs that overlap in {over}, for {name} they don't")
        grid = np.linspace(start, end, POINTS)
        means = np.stack([curve(episodes, over, grid)[1] for episodes in runs])
        label = name if len(runs) == 1 else f"{name}, {len(runs)} seeds"
        axes.plot(grid / unit, means.mean(0), color=colour, label=label)
        axes.fill_between(grid / unit, means.min(0), means.max(0), color=colour, alpha=0.2, lw=0)
    axes.set_xlabel({"steps": "agent steps", "seconds": "minutes"}.get(over, "minutes of one core"))
    axes.set_ylabel("return")
    axes.spines[["top", "right"]].set_visible(False)


def plot_curves(
    groups: Mapping[str, Sequence[AgentRun]], out: Path, title: str = "", clock: str = "cpu_seconds"
) -> None:
    """Writes a PNG with the return over steps and over time.

    Args:
        groups: Runs that differ by seed only, by the name of their line.
        out: The file.
        title: Of the picture.
        clock: The column of time, `seconds` or `cpu_seconds`.

    Raises:
        ValueError: A run has no episodes, or those of a group have no time in common.
    """
    episodes = {name: [read_episodes(run) for run in runs] for name, runs in groups.items()}
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, over in zip(figure.subplots(1, 2, sharey=True), ("steps", clock), strict=True):
        draw_curves(axes, episodes, over)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(out, dpi=120)
