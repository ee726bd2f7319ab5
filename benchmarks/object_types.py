"""How well the types that were found without labels fit those in the console's memory."""

from silot_gym.programs import require

require("train", "ale_py", "cv2", "sklearn", "tqdm", "tyro")

# isort: split
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from silot_gym.calibration.config import DEFAULTS
from silot_gym.calibration.types import Sightings, find_types, sightings
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.held_out import summary
from silot_gym.evaluation.memory_truth import MEMORY_GAMES
from silot_gym.evaluation.tracks import iou
from silot_gym.files import write_atomically
from silot_gym.object_types import ObjectTypes, TypeVotes, looks
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker
from silot_gym.programs import run
from silot_gym.rollouts import collect, split
from silot_gym.slots import Slots

LEAST_IOU = 0.5
"""From which on a slot shows an object of the truth."""


@dataclass
class Args:
    """Compare the types of bundled checkpoints with the truth from the console's memory.

    Beside them stand k-means that is told how many types there are, on the same episodes: on
    frames, each feature divided by its standard deviation (`kmeans`), and on the tracks' means in
    the space in which our types are found (`kmeans_ours`).
    """

    games: tuple[str, ...] = MEMORY_GAMES
    """Games with a bundled checkpoint and memory truth."""
    truth: Path = Path("benchmarks/data")
    """Folder of memory truth."""
    rollouts: Path | None = None
    """Folder of the games' rollouts, <Game>/ each; what is missing is collected there. If not
    given, all are collected for the moment."""
    out: Path = Path("benchmarks/results/object_types.json")
    """The file to write."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Score, write."""
    if not args.out.parent.is_dir():
        raise ValueError(f"expected a folder for {args.out.name}, got {args.out.parent}")
    with tempfile.TemporaryDirectory() as temporary:
        rollouts = args.rollouts or Path(temporary)
        figures = {game: _figures(game, rollouts / game, args) for game in args.games}
    packages = ("silot_gym", "torch", "numpy", "scikit-learn", "ale-py")
    report = {
        "command": f"python {shlex.join(sys.argv)}",
        "versions": {package: version(package) for package in packages},
        "games": figures,
    }
    write_atomically(args.out, (json.dumps(report, indent=2) + "\n").encode())
    for game, one in figures.items():
        print(game, json.dumps(one["all_drawn"]))


def _figures(game: str, rollouts: Path, args: Args) -> dict[str, Any]:
    """Numbers of types, and the figures for what moves and for all that is drawn."""
    checkpoint = Checkpoint.load(game)
    types = checkpoint.types
    if types is None:
        raise ValueError(f"expected types in the checkpoint of {game}")
    with np.load(args.truth / f"{game}.npz") as file:
        truth = {name: file[name] for name in file.files}
    seed = int(checkpoint.origin["seed"])
    num_frames = int(checkpoint.origin["frames"])
    store = collect(rollouts, game, num_frames=num_frames, seed=seed, progress=args.progress)
    episodes = [store.episode(i) for i in split(len(store), seed)["validation"]]
    seen = sightings(checkpoint, episodes, progress=args.progress)
    steps = _slots(checkpoint, truth["palette"][truth["frames"]])
    required = (truth["track_id"] >= 0) & truth["visible"] & ~truth["hud"]
    result: dict[str, Any] = {"types": len(types)}
    for name, wanted in {"what_moves": required & ~truth["static"], "all_drawn": required}.items():
        matched = _matched(steps, truth["boxes"], wanted)
        category = truth["category"][tuple(matched[:, [0, 1, 3]].T)]
        count = len(np.unique(category))
        compared = {"silot_gym": types, "kmeans": _kmeans(seen, count)}
        compared["kmeans_ours"] = find_types(
            seen.what, seen.size, seen.track, seen.frame, num_types=count
        )
        result[name] = {
            "objects": len(category),
            "categories": count,
            "majority": _scores(category, np.zeros_like(category)),
        } | {
            key: _scores(category, _voted(each, steps)[tuple(matched[:, :3].T)])
            for key, each in compared.items()
        }
    return result


def _slots(checkpoint: Checkpoint, sequences: NDArray[np.uint8]) -> list[Slots]:
    """The slots of each step, with a lane for each sequence."""
    tracker = SlotTracker(checkpoint, lanes=len(sequences))
    return [tracker.step(frames) for frames in sequences.swapaxes(0, 1)]


def _matched(
    steps: Sequence[Slots], boxes: NDArray[np.float32], wanted: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Pairs of slots and objects of the truth, (n, 4): sequence, step, slot, object."""
    pairs = []
    for sequence, t in np.ndindex(*wanted.shape[:2]):
        slots = np.flatnonzero(steps[t].track_id[sequence] >= 0)
        objects = np.flatnonzero(wanted[sequence, t])
        overlap = iou(steps[t].boxes[sequence][slots], boxes[sequence, t][objects])
        worth = np.where(overlap >= LEAST_IOU, overlap, 0)
        for i, j in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if worth[i, j] > 0:
                pairs.append((sequence, t, slots[i], objects[j]))
    return np.array(pairs)


def _voted(types: ObjectTypes, steps: Sequence[Slots]) -> NDArray[np.int64]:
    """The types (sequences, steps, K) that play would show."""
    lanes, num_slots = steps[0].track_id.shape
    votes = TypeVotes(types, lanes, num_slots, PlayConfig().vote_decay)
    shown, last = [], np.full((lanes, num_slots), -1)
    for slots in steps:
        present = slots.track_id >= 0
        new = present & (slots.track_id != last)
        last = np.where(present, slots.track_id, last)
        size = slots.where[..., 2:]
        shown.append(votes.cast(range(lanes), slots.what, size, present, new))
    return np.stack(shown, 1)


def _kmeans(seen: Sightings, count: int) -> ObjectTypes:
    """Types by k-means on frames, each feature divided by its standard deviation."""
    features = looks(seen.what, seen.size)
    projection = np.diag(1 / (features.std(0) + 1e-6)).astype(np.float32)
    found = KMeans(count, n_init=DEFAULTS.type_starts, random_state=0).fit(features @ projection)
    return ObjectTypes(found.cluster_centers_, projection, np.zeros(count, np.int64))


def _scores(truth: NDArray[Any], types: NDArray[Any]) -> dict[str, float]:
    """Purity and adjusted mutual information."""
    purity = contingency_matrix(truth, types).max(0).sum() / len(truth)
    return summary({"purity": purity, "AMI": adjusted_mutual_info_score(truth, types)})


if __name__ == "__main__":
    run(main, Args)
