"""Train on an Atari game, or take a trained checkpoint, and score it beside simpler trackers."""

from silot_gym.programs import require

require("train", "ale_py", "cv2", "lightning_fabric", "tqdm", "trackeval", "tyro")

# isort: split
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from silot_gym.atari import resolve_game
from silot_gym.checkpoint import Checkpoint
from silot_gym.device import check_device
from silot_gym.evaluation.connected_components import annotate
from silot_gym.evaluation.held_out import (
    paper_clips,
    paper_protocol,
    paper_view,
    seen_in_play,
    summary,
)
from silot_gym.evaluation.memory_truth import Requirement, load_memory_truth, score_memory
from silot_gym.evaluation.protocol import METRICS, score
from silot_gym.evaluation.trackers import slot_tracks, spair_tracks, tuned_components
from silot_gym.evaluation.tracking import tracking_metrics
from silot_gym.evaluation.tracks import Tracks
from silot_gym.files import write_atomically
from silot_gym.play.config import PlayConfig
from silot_gym.programs import processor, run
from silot_gym.rollouts import Episode, RolloutStore, split

PIPELINE = Path(__file__).parents[1] / "pretrain" / "collect_and_train.py"
SECONDS_FILE = "seconds.json"
PACKAGES = ("silot_gym", "torch", "numpy", "scipy", "gymnasium", "ale_py", "trackeval")
TUNING_CLIPS = 16
LEAST_CONFIDENCE = 0.05  # the paper's, from which on its MOTA counts a prediction
SPAIR_THRESHOLD = 0.5  # its F1 is as high as at 0.3 or higher on four of five games

Figures = dict[str, float]


@dataclass
class Args:
    """Train on an Atari game, or take a trained checkpoint, and score it beside simpler trackers.

    Writes `atari_<Game>_<seed>.json`: how it was made, how long it took, and the figures under the
    paper's protocol and against the console's memory. `table.py` makes a table of these files.
    """

    game: str
    """Any game of ale-py, in any usual spelling."""
    seed: int = 0
    """Of collection, training and split."""
    checkpoint: Path | None = None
    """A run's folder; if not given, runs/benchmark-<Game>-<seed> is trained from scratch with the
    default configuration."""
    results: Path = Path("benchmarks/results")
    """Folder for the JSON file."""
    truth: Path = Path("benchmarks/data")
    """Folder of memory truth; a game without a file there gets no such figures."""
    clips: int = 128
    """Held-out clips for the paper's protocol."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train and score."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Train, score, write."""
    game = resolve_game(args.game)
    _check(args)
    folder = args.checkpoint or _train(game, args)
    checkpoint = Checkpoint.load(folder, args.device)
    made_for = checkpoint.frames.game, checkpoint.origin.get("seed")
    if made_for != (game, args.seed):
        raise ValueError(f"{folder}: expected a run of {(game, args.seed)}, got one of {made_for}")
    store = RolloutStore.open(folder / "rollouts")
    parts = {
        name: [store.episode(i) for i in numbers]
        for name, numbers in split(len(store), args.seed).items()
        if name != "train"
    }

    _say(args, "scoring under the paper's protocol")
    report: dict[str, Any] = {
        "command": f"python {shlex.join(sys.argv)}",
        "game": game,
        "seed": args.seed,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if args.device == "cuda" else None,
        "seconds": _seconds(folder, checkpoint),
        "training": checkpoint.origin,
        "SPAIR": "discovery with the weights of the same checkpoint, and the same steps of play",
        "SPAIR plain": "the same without any step of play that the paper does not have",
    }
    report |= _paper_figures(checkpoint, parts["validation"], parts["test"], args.clips)
    truth_file = args.truth / f"{game}.npz"
    if truth_file.exists():
        _say(args, "scoring against the console's memory")
        report |= _memory_figures(checkpoint, truth_file)
    out = args.results / f"atari_{game}_{args.seed}.json"
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(f"figures: {out}   all together: python benchmarks/table.py")


def _check(args: Args) -> None:
    """Refuse what would only be found out after work was done."""
    if args.seed < 0:
        raise ValueError(f"expected --seed of 0 or more, got {args.seed}")
    if args.clips < 1:
        raise ValueError(f"expected --clips of 1 or more, got {args.clips}")
    check_device(args.device)
    if not args.truth.is_dir():
        raise ValueError(f"expected the folder of memory truth as --truth, got {args.truth}")
    args.results.mkdir(parents=True, exist_ok=True)


def _say(args: Args, stage: str) -> None:
    if args.progress:
        print(stage, flush=True)


def _train(game: str, args: Args) -> Path:
    """Run the pipeline from scratch in a process of its own, by the clock; its run's folder."""
    out = Path("runs") / f"benchmark-{game}-{args.seed}"
    if out.exists():
        raise ValueError(f"{out} already exists: score it with --checkpoint {out}, or delete it")
    command = [sys.executable, os.path.relpath(PIPELINE), "--game", game, "--seed", str(args.seed)]
    command += ["--out", str(out), "--device", args.device]
    command += ["--progress" if args.progress else "--no-progress"]
    started = time.time()
    if subprocess.run(command, check=False).returncode != 0:
        raise ValueError(f"the training in {out} did not finish: see its message above")
    episodes = (out / "rollouts").glob("episode_*.npz")
    seconds = {
        # An episode is on disk when it has been collected.
        "collection": round(max(file.stat().st_mtime for file in episodes) - started, 1),
        "total": round(time.time() - started, 1),
    }
    write_atomically(out / SECONDS_FILE, (json.dumps(seconds) + "\n").encode())
    return out


def _seconds(folder: Path, checkpoint: Checkpoint) -> dict[str, float]:
    """Wall-clock of collection, training and all of the pipeline, as far as it was taken."""
    file = folder / SECONDS_FILE
    seconds: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    if "seconds" in checkpoint.origin:
        seconds["training"] = checkpoint.origin["seconds"]
    return seconds


def _paper_figures(
    checkpoint: Checkpoint,
    validation: Sequence[Episode],
    test: Sequence[Episode],
    num_clips: int,
) -> dict[str, Any]:
    """Figures by tracker on held-out clips, and ConnComp's settings, tuned on validation clips."""
    background = checkpoint.frames.background.colour

    def truth_of(clips: Sequence[NDArray[np.uint8]]) -> list[Tracks]:
        return [annotate(clip, background) for clip in clips]

    clips = paper_clips(checkpoint.frames, validation, TUNING_CLIPS)
    truth_to_tune = truth_of(clips)
    components = tuned_components(
        clips, background, lambda found: tracking_metrics(truth_to_tune, found).mota
    )
    ours = paper_protocol(checkpoint, test, num_clips=num_clips)
    seen = paper_clips(checkpoint.frames, test, num_clips)
    truth = truth_of(seen)
    others: dict[str, list[Tracks]] = {
        "SPAIR": spair_tracks(paper_view(checkpoint), seen, LEAST_CONFIDENCE),
        "SPAIR plain": spair_tracks(plain(paper_view(checkpoint)), seen, LEAST_CONFIDENCE),
        "ConnComp": components.tracks(seen),
    }
    figures = {
        "silot_gym": summary({name: ours[name] for name in METRICS}),
        **{name: summary(score(truth, found)) for name, found in others.items()},
    }
    return {"paper_ConnComp": asdict(components), "paper_protocol": figures}


def _memory_figures(checkpoint: Checkpoint, truth_file: Path) -> dict[str, Any]:
    """Figures by what is required and by tracker, and ConnComp's settings.

    Ours tracks the frames as they are stored, the others what is left when all that play leaves
    out is removed. ConnComp is tuned on the first of the sequences that it is scored on, which the
    others are not.
    """
    truth = load_memory_truth(truth_file)
    frames = truth.rgb()
    seen = np.stack([seen_in_play(checkpoint.frames, clip) for clip in frames])
    first = Requirement(truth.what_moves.truth[:1], truth.what_moves.dont_care[:1])
    components = tuned_components(
        [seen[0]],
        checkpoint.frames.background.colour,
        lambda found: score_memory(first, found)["MOTA"],
    )
    tracks = {
        "silot_gym": slot_tracks(checkpoint, list(frames)),
        "SPAIR": spair_tracks(checkpoint, list(seen), SPAIR_THRESHOLD),
        "SPAIR plain": spair_tracks(plain(checkpoint), list(seen), SPAIR_THRESHOLD),
        "ConnComp": components.tracks(seen),
    }

    def figures(requirement: Requirement) -> dict[str, Figures]:
        return {name: summary(score_memory(requirement, found)) for name, found in tracks.items()}

    return {
        "memory_ConnComp": asdict(components),
        "memory_truth": {
            "what_moves": figures(truth.what_moves),
            "all_drawn": figures(truth.all_drawn),
        },
    }


def plain(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint without any step of play that the paper does not have."""
    return replace(checkpoint, play=PlayConfig.plain())


if __name__ == "__main__":
    run(main, Args)
