"""What the settings of training are worth: train with one of them changed, and score."""

from silot_gym.programs import require

require("train", "ale_py", "cv2", "lightning_fabric", "tqdm", "trackeval", "tyro")

# isort: split
import json
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric

from silot_gym.atari import make_atari, resolve_game
from silot_gym.calibration.calibrate import calibrate
from silot_gym.calibration.calibration import Calibration
from silot_gym.calibration.num_slots import choose_num_slots
from silot_gym.calibration.object_size import sized_for
from silot_gym.checkpoint import Checkpoint
from silot_gym.device import check_device
from silot_gym.evaluation.held_out import paper_protocol, summary
from silot_gym.evaluation.memory_truth import load_memory_truth, score_memory
from silot_gym.evaluation.trackers import slot_tracks
from silot_gym.files import write_atomically
from silot_gym.model import SILOT, ModelConfig
from silot_gym.programs import processor, run
from silot_gym.rollouts import Episode, collect, split
from silot_gym.training.clips import ClipConfig, ClipSampler
from silot_gym.training.loop import FitConfig, fit
from silot_gym.training.objective import SILOTObjective
from silot_gym.training.precision import best_precision
from silot_gym.training.schedule import Schedule
from silot_gym.training.stream import ClipStream

PACKAGES = ("silot_gym", "torch", "numpy", "ale-py")


@dataclass(frozen=True)
class Change:
    """A departure from the default settings, in words and as fields of the configurations."""

    what: str
    model: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    clips: Mapping[str, Any] = field(default_factory=dict)


CHANGES = {
    "default": Change("the default settings"),
    "size_free": Change("sizes never frozen", schedule={"size_frozen": 0.0}),
    "no_carry_over": Change("all clips are new ones", schedule={"carry_over": 1.0}),
    "stay_free": Change("tracked objects never frozen", schedule={"stay_frozen": 0.0}),
    "scales": Change("objects of two scales, one twice as large", {"scales": (1, 2)}),
    "no_events": Change("no clips chosen for what happens in them", clips={"eventful": 0.0}),
    "black_hides": Change("what is black hides as what is white does", {"black_weight": 1.0}),
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
    "start_noise": Change("deviations start at 1, as in the paper", {"initial_std": 1.0}),
    "bright_start": Change("sprites start grey, as in the paper", {"initial_colour": 0.0}),
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
        "presence of discovered objects never frozen", schedule={"presence_frozen": 0.0}
    ),
    "no_moving_crops": Change("crops on what has moved not preferred", clips={"moving": 0.0}),
    "no_anneal": Change("few objects asked for from the start", schedule={"count_anneal": 0.0}),
}
HEURISTICS = tuple(CHANGES)[:7]
"""Of training, none of them in the paper."""


@dataclass
class Args:
    """What settings of training are worth: train with one of them changed, and score.

    Writes `<Game>_<change>_<seed>.json` with the figures under the paper's protocol on validation
    episodes and, where there is a truth, against the console's memory. What is written already is
    not done again. `table.py` makes a table of these files.
    """

    games: tuple[str, ...] = ("SpaceInvaders", "Boxing")
    """Games to train on."""
    changes: tuple[str, ...] = HEURISTICS
    """Which changes to make."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the trainings. Rollouts have seed 0."""
    steps: int = 2000
    """Updates of the model."""
    frames: int = 12_000
    """Frames of the rollouts."""
    clips: int = 48
    """Clips to score under the paper's protocol."""
    rollouts: Path = Path("runs/rollouts")
    """Folder of the games' rollouts, <Game>/ each; what is missing is collected there."""
    truth: Path = Path("benchmarks/data")
    """Folder of memory truth."""
    results: Path = Path("benchmarks/results/ablations")
    """Folder for the JSON files."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Train, score, write, for each seed, game and change."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    unknown = sorted({*args.changes} - CHANGES.keys())
    if unknown:
        raise ValueError(f"expected --changes of {', '.join(CHANGES)}, got {', '.join(unknown)}")
    check_device(args.device)
    args.results.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for game in map(resolve_game, args.games):
            for name in args.changes:
                out = args.results / f"{game}_{name}_{seed}.json"
                if not out.exists():
                    report = {
                        "command": f"python {shlex.join(sys.argv)}",
                        "game": game,
                        "seed": seed,
                        "change": name,
                        "what": CHANGES[name].what,
                        "steps": args.steps,
                        "cpu": processor(),
                        "threads": torch.get_num_threads(),
                        "versions": {package: version(package) for package in PACKAGES},
                        **ablate(CHANGES[name], game, seed, args),
                    }
                    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
                    print(f"{out}: {report['figures']}", flush=True)


def ablate(change: Change, game: str, seed: int, args: Args) -> dict[str, Any]:
    """How training goes with a change: seconds, and figures by protocol."""
    store = collect(
        args.rollouts / game, game, num_frames=args.frames, seed=0, progress=args.progress
    )
    train, validation = (
        [store.episode(i) for i in split(len(store), 0)[part]] for part in ("train", "validation")
    )
    calibration = calibrate(lambda: make_atari(game), train)
    config = FitConfig(
        replace(Schedule(args.steps), **change.schedule),
        clips=replace(ClipConfig(), **change.clips),
        validate_every=args.steps,
    )
    model, seconds = _trained(change, config, calibration, train, validation, seed, args)
    checkpoint = Checkpoint(model, calibration)
    num_slots = choose_num_slots(checkpoint, validation)
    checkpoint = checkpoint.with_calibration(num_slots=num_slots)
    figures = {"paper": paper_protocol(checkpoint, validation, num_clips=args.clips)}
    truth_file = args.truth / f"{game}.npz"
    if truth_file.exists():
        truth = load_memory_truth(truth_file)
        tracks = slot_tracks(checkpoint, list(truth.rgb()))
        figures["memory"] = score_memory(truth.what_moves, tracks)
    return {
        "seconds": seconds,
        "figures": {protocol: summary(values) for protocol, values in figures.items()},
    }


def _trained(
    change: Change,
    config: FitConfig,
    calibration: Calibration,
    train: Sequence[Episode],
    validation: Sequence[Episode],
    seed: int,
    args: Args,
) -> tuple[SILOT, float]:
    """A trained model, and the seconds that it took."""
    frames = calibration.frames
    frame_size = frames.height, frames.width
    torch.manual_seed(seed)
    sized = sized_for(ModelConfig(), calibration.object_size, frame_size, config.crop_size)
    model = SILOT(replace(sized, **change.model))
    crop_size = config.crop_size * model.config.pixel_size
    fabric = Fabric(accelerator=args.device, devices=1, precision=best_precision(args.device))
    sampler = ClipSampler(train, frames, crop_size, fabric.device, config.clips)
    held_out = ClipSampler(validation, frames, crop_size).draw(np.random.default_rng(0), 32, 8)
    with TemporaryDirectory() as folder:
        course = fit(
            SILOTObjective(model, config.schedule, compact=args.device == "cpu"),
            ClipStream(sampler, config.schedule, config.batch_size, fabric),
            held_out,
            config,
            Path(folder),
            fabric=fabric,
            seed=seed,
            progress=args.progress,
        )
    return model.cpu().eval().requires_grad_(False), course["seconds"]


if __name__ == "__main__":
    run(main, Args)
