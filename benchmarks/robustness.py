"""How well tracking bears games that look otherwise than the rollouts of their checkpoints."""

from silot_gym.programs import require

require("train", "ale_py", "PIL", "tqdm", "trackeval", "tyro")

# isort: split
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from silot_gym.atari import resolve_game
from silot_gym.checkpoint import Checkpoint, bundled_for
from silot_gym.evaluation.changed_looks import Change, Frames, changes_of
from silot_gym.evaluation.held_out import summary
from silot_gym.evaluation.memory_truth import MemoryTruth, load_memory_truth, score_memory
from silot_gym.evaluation.trackers import slot_tracks
from silot_gym.files import write_atomically
from silot_gym.programs import processor, run

METRICS = ("F1", "IDF1", "MOTA")
UNCHANGED = "unchanged"
FRAME_SKIP = 4  # of the memory truth

Figures = dict[str, float]


@dataclass
class Args:
    """How well tracking bears games that look otherwise than the rollouts of their checkpoints.

    Scores the bundled checkpoints, as they are, against the console's memory, what moves, on frames
    that are changed, and writes `robustness_tracking.json`.
    """

    games: tuple[str, ...] = ()
    """In any usual spelling; by default all games with memory truth."""
    truth: Path = Path("benchmarks/data")
    """Folder of memory truth."""
    results: Path = Path("benchmarks/results")
    """Folder for the JSON file."""
    progress: bool = True
    """Whether to show a progress bar."""


def main(args: Args) -> None:
    """Score, write, print a table."""
    names = [resolve_game(game) for game in args.games]
    names = names or [file.stem for file in sorted(args.truth.glob("*.npz"))]
    if not names:
        raise ValueError(f"expected the folder of memory truth as --truth, got {args.truth}")
    for game in names:
        bundled_for(game)  # a game without a checkpoint is refused before work starts
    args.results.mkdir(parents=True, exist_ok=True)
    total = sum(1 + len(changes_of(game)) for game in names)
    figures: dict[str, dict[str, Figures]] = {}
    with tqdm(total=total, disable=not args.progress) as bar:
        for game in names:
            truth = load_memory_truth(args.truth / f"{game}.npz")
            checkpoint = Checkpoint.load(bundled_for(game))
            changes: dict[str, Change | None] = {UNCHANGED: None, **changes_of(game)}
            figures[game] = {}
            for name, change in changes.items():
                bar.set_description(f"{game}, {name}")
                figures[game][name] = tracking(checkpoint, truth, change)
                bar.update()
    report = {
        "command": f"python {shlex.join(sys.argv)}",
        "required": "what moves",
        "cpu": processor(),
        "tracking": figures,
    }
    out = args.results / "robustness_tracking.json"
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(table(figures))
    print(f"figures: {out}")


def tracking(checkpoint: Checkpoint, truth: MemoryTruth, change: Change | None) -> Figures:
    """Figures of a checkpoint on the frames of the truth, changed."""
    frames = truth.rgb()
    if change is not None:
        frames = changed_film(frames, change)
    scores = summary(score_memory(truth.what_moves, slot_tracks(checkpoint, list(frames))))
    return {name: scores[name] for name in METRICS}


def changed_film(frames: Frames, change: Change) -> Frames:
    """Sequences (S, T, H, W, 3) in which each frame looks as it would at its time in play."""
    changed = [change(frames[:, t], FRAME_SKIP * t) for t in range(frames.shape[1])]
    return np.stack(changed, 1)


def table(figures: dict[str, dict[str, Figures]]) -> str:
    """A Markdown table: a row for each change of each game."""
    lines = [
        "| " + " | ".join(("game", "change", *METRICS)) + " |",
        "| " + " | ".join(["---"] * (2 + len(METRICS))) + " |",
    ]
    for game, changes in figures.items():
        for name, scores in changes.items():
            cells = (game, name, *(f"{scores[metric]:.2f}" for metric in METRICS))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, Args)
