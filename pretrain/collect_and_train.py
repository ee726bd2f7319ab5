"""Collect rollouts of an Atari game, fit SILOT to them, and show how well it tracks."""

from silot_gym.programs import require

require(
    "train",
    "ale_py",
    "cv2",
    "imageio",
    "lightning_fabric",
    "sklearn",
    "tensorboard",
    "tqdm",
    "trackeval",
    "tyro",
)

# isort: split
import json
import logging
import shlex
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeVar

import torch
from lightning_fabric import Fabric

from silot_gym.atari import make_atari, resolve_game
from silot_gym.checkpoint import METRICS, Checkpoint, write_atomically
from silot_gym.device import check_device
from silot_gym.draw import write_video
from silot_gym.evaluation.held_out import enough_slots, overlay, paper_protocol, summary
from silot_gym.evaluation.protocol import format_table
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT, ModelConfig
from silot_gym.programs import run
from silot_gym.rollouts import Episode, RolloutStore, collect, split
from silot_gym.training.background import LARGEST_OBJECT, BackgroundKind, estimate_background
from silot_gym.training.clips import CROP_SIZE, ClipSampler, check_crop
from silot_gym.training.displays import find_displays
from silot_gym.training.fit import FitConfig, fit
from silot_gym.training.flicker import flickers
from silot_gym.training.object_types import carried_over, types_of_episodes
from silot_gym.training.precision import best_precision
from silot_gym.training.schedule import Schedule
from silot_gym.training.sizes import MEASURED, fitted_to

OVERLAY = "overlay.mp4"
Number = TypeVar("Number", int, float)


@dataclass
class Args:
    """Collect rollouts of an Atari game, fit SILOT to them, and show how well it tracks."""

    game: str
    """Any game of ale-py, in any usual spelling: SpaceInvaders, space_invaders."""
    out: Path | None = None
    """The run's folder, in the end a checkpoint; runs/<Game>-<seed> if not given."""
    frames: int = 12_000
    """Frames to collect, in whole episodes."""
    max_episode_frames: int = 2000
    """Longer episodes are cut."""
    policy: Path | None = None
    """Who plays: the run folder of an agent on slots (agents/train.py), or a zip file of
    Stable-Baselines3 with an agent on frames, which can execute code that is in it. If not given,
    random actions are held."""
    init_from: str | None = None
    """Folder or bundled name of a checkpoint to go on from, which keeps its types of objects."""
    pooled: bool = True
    """Whether a frame is the maximum of the last two screens, which shows flickering sprites."""
    frame_skip: int = 4
    """Emulator frames a step."""
    steps: int | None = None
    """Updates of the model: by default 5,000, and 1,500 with --init-from."""
    minutes: float | None = None
    """Stop training after so many minutes; the schedule still goes by steps."""
    batch_size: int = 32
    """Clips an update."""
    learning_rate: float | None = None
    """The highest learning rate: by default 0.001, and 0.0003 with --init-from."""
    crop_size: int = CROP_SIZE
    """Side of the crops to train on, in pixels of --model.pixel-size."""
    background: BackgroundKind = "scenes"
    """What is taken for background: a colour, also one picture, or also one for each scene."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The model; ModelConfig.paper_atari() has the paper's values."""
    measure_sizes: bool = True
    """Whether the rollouts say how large the model's pixels, anchors and boxes are, not --model."""
    clips: int = 128
    """Held-out clips to score at the end."""
    seed: int = 0
    """Of everything that is drawn."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train."""
    devices: int = 1
    """Processes that share each batch, with a GPU each on cuda; torchrun may start them instead."""
    nodes: int = 1
    """Machines, on each of which torchrun starts as many processes."""
    resume: bool = False
    """Go on with an interrupted run in the same folder."""
    progress: bool = True
    """Whether to show progress bars."""


def main(args: Args) -> None:
    """Run the pipeline."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    game = resolve_game(args.game)
    start = None if args.init_from is None else Checkpoint.load(args.init_from)
    if start is None:
        schedule = Schedule(_given(args.steps, 5_000), _given(args.learning_rate, 1e-3))
    else:
        schedule = Schedule.going_on(_given(args.steps, 1_500), _given(args.learning_rate, 3e-4))
    config = FitConfig(schedule=schedule, batch_size=args.batch_size, seed=args.seed)
    _check(args)
    if start is not None:
        _check_start(start, game, args)
    out = args.out or Path("runs") / f"{game}-{args.seed}"
    fabric = Fabric(
        accelerator=args.device,
        devices=args.devices,
        num_nodes=args.nodes,
        # Not every update uses every part of the model.
        strategy="auto" if args.devices * args.nodes == 1 else "ddp_find_unused_parameters_true",
        precision=best_precision(args.device),
    )
    if fabric.is_global_zero:
        _open_folder(out, args.resume)
    fabric.launch()
    if fabric.is_global_zero:
        _collect(args, game, out)
    fabric.barrier()
    store = RolloutStore.open(out / "rollouts")
    episodes = {
        name: [store.episode(i) for i in numbers]
        for name, numbers in split(len(store), args.seed).items()
    }
    frames = _frame_config(args, store, episodes["train"])

    torch.manual_seed(args.seed)
    model_config = args.model if start is None else start.model.config
    if args.measure_sizes and start is None:
        model_config = fitted_to(model_config, episodes["train"], frames.background, args.crop_size)
    crop_size = args.crop_size * model_config.pixel_size
    model = SILOT(model_config)
    if start is not None:
        model.load_state_dict(start.model.state_dict())
    course = fit(
        model,
        ClipSampler(episodes["train"], frames, crop_size, fabric.device),
        ClipSampler(episodes["validation"], frames, crop_size),
        config,
        out,
        fabric=fabric,
        minutes=args.minutes,
        progress=args.progress,
    )
    if not fabric.is_global_zero:
        return
    command = f"python {shlex.join(sys.argv)}"
    packages = ("silot_gym", "torch", "gymnasium", "ale-py")
    origin = {
        "command": command,
        "seed": args.seed,
        "frames": store.num_frames,
        **course,
        "versions": {package: version(package) for package in packages},
    }
    checkpoint = Checkpoint(model.cpu().eval().requires_grad_(False), frames, origin=origin)
    num_slots = enough_slots(checkpoint, episodes["validation"])
    checkpoint = replace(checkpoint, num_slots=num_slots)
    if start is None or start.types is None:
        types = types_of_episodes(checkpoint, episodes["validation"], progress=args.progress)
    else:
        types = carried_over(start, checkpoint, episodes["validation"], progress=args.progress)
    replace(checkpoint, types=types).save(out)
    checkpoint = Checkpoint.load(out)

    print("scoring held-out episodes", flush=True)
    figures = paper_protocol(
        checkpoint, episodes["test"], num_clips=args.clips, progress=args.progress
    )
    report = {"command": command, "protocol": "paper", "game": game, **summary(figures)}
    write_atomically(out / METRICS, (json.dumps(report, indent=2) + "\n").encode())
    longest = max(episodes["test"], key=len)
    write_video(out / OVERLAY, overlay(checkpoint, longest))
    print(format_table([(game, "silot_gym", figures)]))
    print(f"checkpoint: {out}   video: {out / OVERLAY}   curves: tensorboard --logdir {out}")


def _given(value: Number | None, default: Number) -> Number:
    return default if value is None else value


def _check_start(start: Checkpoint, game: str, args: Args) -> None:
    """Refuse a checkpoint that can't be gone on from as asked."""
    frames = start.frames
    made_for = frames.game, frames.pooled, frames.frame_skip
    asked = game, args.pooled, args.frame_skip
    if made_for != asked:
        raise ValueError(f"expected --init-from made for {asked}, got one made for {made_for}")
    if args.model != ModelConfig():
        raise ValueError("expected no --model with --init-from: the model is the checkpoint's")


def _collect(args: Args, game: str, out: Path) -> None:
    """Collect what is still missing of the rollouts."""
    try:
        collect(
            out / "rollouts",
            game,
            num_frames=args.frames,
            seed=args.seed,
            policy=args.policy,
            pooled=args.pooled,
            frame_skip=args.frame_skip,
            max_episode_frames=args.max_episode_frames,
            progress=args.progress,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("whole episodes are saved: go on with --resume") from None


def _check(args: Args) -> None:
    """Refuse what would only be found out after work was done."""
    if args.seed < 0:
        raise ValueError(f"expected --seed of 0 or more, got {args.seed}")
    if args.clips < 1:
        raise ValueError(f"expected --clips of 1 or more, got {args.clips}")
    if args.minutes is not None and args.minutes <= 0:
        raise ValueError(f"expected --minutes above 0, got {args.minutes}")
    if args.devices < 1 or args.nodes < 1:
        raise ValueError(
            f"expected --devices and --nodes of 1 or more, got {args.devices} and {args.nodes}"
        )
    if args.batch_size % (args.devices * args.nodes):
        raise ValueError(
            f"expected a --batch-size that {args.devices * args.nodes} processes can share evenly, "
            f"got {args.batch_size}"
        )
    check_device(args.device)
    env = make_atari(args.game, pooled=args.pooled, frame_skip=args.frame_skip)
    height, width, _ = env.observation_space.shape or ()
    env.close()
    pixel_size = 1 if args.measure_sizes else args.model.pixel_size
    check_crop(args.crop_size * pixel_size, height, width)
    if not args.measure_sizes and args.crop_size <= max(args.model.anchor_size):
        raise ValueError(
            f"expected --crop-size above the anchor's {max(args.model.anchor_size):g} pixels, lest "
            f"one object explains all that a crop shows, got {args.crop_size}"
        )
    for name in MEASURED if args.measure_sizes else ():
        if getattr(args.model, name) != getattr(ModelConfig(), name):
            option = f"--model.{name.replace('_', '-')}"
            raise ValueError(
                f"{option} is measured on the rollouts: add --no-measure-sizes to set it"
            )
    if args.frames < 1:
        raise ValueError(f"expected --frames of 1 or more, got {args.frames}")


def _open_folder(out: Path, resume: bool) -> None:
    """Make the run's folder, or see that it may be gone on with."""
    if out.exists() and any(out.iterdir()) and not resume:
        raise ValueError(
            f"{out} already holds a run: pass --resume to go on with it, or choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "command.txt", f"python {shlex.join(sys.argv)}\n".encode())


def _frame_config(args: Args, store: RolloutStore, episodes: list[Episode]) -> FrameConfig:
    """The preprocessing, with the background that the episodes show, and whether all is shown."""
    info = store.info
    background = estimate_background(episodes, LARGEST_OBJECT, args.background)
    background = replace(background, displays=find_displays(episodes, background))
    return FrameConfig(
        game=info.game,
        height=info.frame_height,
        width=info.frame_width,
        frame_skip=info.frame_skip,
        pooled=info.pooled,
        flickers=flickers(info.game, background, args.seed),
        background=background,
    )


if __name__ == "__main__":
    run(main, Args)
