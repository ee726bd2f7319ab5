"""What each default setting is worth: train with one of them changed, score as it learns."""

from silot_gym.programs import require

require("train", "lightning_fabric", "tqdm", "trackeval", "tyro")

# isort: split
import copy
import json
import logging
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from silot_gym.evaluation.predict import predict
from silot_gym.training.fit import FitConfig, fit

from silot_gym.calibration.object_size import fitted_to
from silot_gym.checkpoint import Checkpoint, write_atomically
from silot_gym.device import check_device
from silot_gym.evaluation.connected_components import annotate
from silot_gym.evaluation.held_out import paper_clips, paper_view, summary
from silot_gym.evaluation.protocol import score
from silot_gym.model import SILOT, ModelConfig
from silot_gym.programs import run
from silot_gym.rollouts import RolloutStore, split
from silot_gym.training.clips import CROP_SIZE, ClipSampler
from silot_gym.training.precision import best_precision
from silot_gym.training.schedule import Schedule

ENOUGH = 0.8  # MOTA; the time to it is reported


@dataclass(frozen=True)
class Change:
    """A departure from the default settings, in words and as fields of the configurations."""

    what: str
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)


CHANGES = {
    "default": Change("the default settings"),
    "temperature": Change(
        "presence of temperature 1, as in the paper", {"presence_temperature": 1.0}
    ),
    "half_temperature": Change("presence of temperature 0.5", {"presence_temperature": 0.5}),
    "sizes": Change(
        "the paper's sizes, whatever the game: anchor 30, start 15, mean 3 pixels",
        {
            "pixel_size": 1,
            "anchor_size": (30.0, 30.0),
            "initial_size": (15.0, 15.0),
            "expected_size": (3.0, 3.0),
        },
    ),
    "wide_size_prior": Change(
        "twice the standard deviation of the prior of sizes", {"size_prior_std": 1.0}
    ),
    "stay_free": Change("tracked objects never held", schedule={"stay_held": 0.0}),
    "size_free": Change("sizes never held", schedule={"size_held": 0.0}),
    "start_noise": Change("deviations start at 1, as in the paper", {"initial_std": 1.0}),
    "scales": Change("objects of two scales, one twice as large", {"scales": (1, 2)}),
    "glimpses": Change("glimpses of 12 texels", {"glimpse_size": 12}),
    "networks": Change(
        "wider networks: 1.5 million weights in place of 0.9",
        {
            "backbone_channels": (64, 64),
            "encoder_dims": (256, 128),
            "decoder_dims": (128, 256),
        },
    ),
    "attention": Change("attention as narrow as the paper's", {"attention_std": 2.4}),
    "search": Change("the first glimpse no wider than the object", {"search_margin": 0.0}),
    "object_attention": Change("objects attend to each other", {"object_attention": True}),
    "two_frames": Change("clips of two frames throughout", schedule={"curriculum": ((0.0, 2),)}),
    "no_dropout": Change("discovery in all frames", schedule={"discovery_dropout": 0.0}),
    "presence_free": Change(
        "presence of discovered objects never held", schedule={"presence_held": 0.0}
    ),
    "no_carry_over": Change("all clips are new ones", schedule={"carry_over": 1.0}),
    "no_anneal": Change("few objects asked for from the start", schedule={"count_anneal": 0.0}),
}


@dataclass
class Args:
    """What each default setting is worth: train with one of them changed, score as it learns.

    Writes `ablation_<Game>_<change>_<seed>.json`: MOTA against seconds of training, and the figures
    at its end, under the paper's protocol on the validation episodes of a finished run.
    """

    run: Path
    """A finished run, whose rollouts are trained on."""
    change: tuple[str, ...] = tuple(CHANGES)
    """Which changes to make, one after the other; by default all."""
    steps: int = 1000
    """Updates of the model."""
    seed: int = 0
    """Of the training."""
    clips: int = 48
    """Clips to score."""
    results: Path = Path("benchmarks/results")
    """Folder for the JSON files."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Train, score, write, for each change."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    unknown = sorted(set(args.change) - CHANGES.keys())
    if unknown:
        raise ValueError(f"expected --change of {', '.join(CHANGES)}, got {', '.join(unknown)}")
    args.results.mkdir(parents=True, exist_ok=True)
    check_device(args.device)
    finished = Checkpoint.load(args.run)
    for name in args.change:
        report = {
            "command": f"python {shlex.join(sys.argv)}",
            "game": finished.frames.game,
            "seed": args.seed,
            "change": name,
            "what": CHANGES[name].what,
            "threads": torch.get_num_threads(),
            **ablate(CHANGES[name], finished, args),
        }
        out = args.results / f"ablation_{finished.frames.game}_{name}_{args.seed}.json"
        write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
        print(f"{name}: {report['figures']}", flush=True)


def ablate(change: Change, finished: Checkpoint, args: Args) -> dict[str, Any]:
    """How training goes with a change: MOTA by time, the time to enough of it, final figures."""
    store = RolloutStore.open(args.run / "rollouts")
    seed = finished.origin["seed"]
    train, validation = (
        [store.episode(i) for i in split(len(store), seed)[part]]
        for part in ("train", "validation")
    )
    torch.manual_seed(args.seed)
    measured = fitted_to(ModelConfig(), train, finished.frames.background, CROP_SIZE)
    config = replace(measured, **change.model)
    model, crop_size = SILOT(config), CROP_SIZE * config.pixel_size
    watched: list[tuple[int, float, SILOT]] = []
    with TemporaryDirectory() as folder:
        fit(
            model,
            ClipSampler(train, finished.frames, crop_size, args.device),
            ClipSampler(validation, finished.frames, crop_size),
            FitConfig(
                replace(Schedule(args.steps), **change.schedule),
                validate_every=max(1, args.steps // 10),
                seed=args.seed,
            ),
            Path(folder),
            fabric=Fabric(
                accelerator=args.device, devices=1, precision=best_precision(args.device)
            ),
            progress=args.progress,
            watch=lambda step, seconds: watched.append((step, seconds, copy.deepcopy(model))),
        )
    clips = paper_clips(finished.frames, validation, args.clips)
    truth = [annotate(clip, finished.frames.background.colour) for clip in clips]
    curve = []
    for step, seconds, watched_model in watched:
        checkpoint = replace(finished, model=watched_model.cpu().eval())
        figures = summary(score(truth, predict(paper_view(checkpoint), clips)))
        curve.append({"step": step, "seconds": round(seconds, 1), **figures})
    enough = [point["seconds"] for point in curve if point["MOTA"] >= ENOUGH]
    return {
        "seconds_to_enough": enough[0] if enough else None,
        "figures": curve[-1],
        "curve": curve,
    }


if __name__ == "__main__":
    run(main, Args)
