"""Collect rollouts of an Atari game, fit SILOT to them, and show how well it tracks."""

import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from lightning_fabric import Fabric

from silot_gym.atari import make_atari, resolve_game
from silot_gym.calibration.background import BackgroundKind
from silot_gym.calibration.calibrate import calibrate
from silot_gym.calibration.calibration import Calibration
from silot_gym.calibration.config import CalibrationConfig
from silot_gym.calibration.object_size import MEASURED, sized_for
from silot_gym.checkpoint import METRICS, MOST_TEXT, Checkpoint
from silot_gym.device import check_device
from silot_gym.draw import write_video
from silot_gym.evaluation.held_out import overlay, paper_protocol, summary
from silot_gym.evaluation.protocol import format_table
from silot_gym.files import LOCK, one_writer, read_plain, write_atomically
from silot_gym.model import SILOT, ModelConfig
from silot_gym.play.config import PlayConfig
from silot_gym.programs import command_line
from silot_gym.rollouts import Episode, RolloutStore, collect, split
from silot_gym.training.clips import ClipSampler, check_crop
from silot_gym.training.logger import TensorBoardLogger
from silot_gym.training.loop import FitConfig, fit
from silot_gym.training.objective import SILOTObjective
from silot_gym.training.precision import best_precision
from silot_gym.training.state import flat_settings
from silot_gym.training.stream import ClipStream

OVERLAY = "overlay.mp4"
ASKED = "asked.json"
"""What a run was asked to do, but for `FREE`, which may differ when it is resumed."""
FREE = ("out", "minutes", "clips", "device", "devices", "nodes", "resume", "progress")
WATCHED_CLIPS, WATCHED_FRAMES = 8, 4
"""What TensorBoard shows of validation episodes: clips that are scored, and frames of a picture."""


@dataclass
class Args:
    """Collect rollouts of an Atari game, fit SILOT to them, and show how well it tracks."""

    game: str
    """Any game of ale-py, in any usual spelling: SpaceInvaders, space_invaders."""
    out: Path | None = None
    """The run's folder, in the end a checkpoint; runs/<Game>-<seed> if not given."""
    frames: int = 12_000
    """Frames to collect at least, in whole episodes, of which there are six or more."""
    max_episode_frames: int = 2000
    """Longer episodes are cut."""
    policy: Path | None = None
    """Who plays: the run folder of an agent on slots (agents/train.py), or, with --trust-policy, a
    zip file of Stable-Baselines3 with an agent on frames. If not given, random actions are held."""
    trust_policy: bool = False
    """Whether --policy may be a zip file: its pickles execute code, whatever it is. Run folders
    need no trust: only numbers are read from them."""
    init_from: str | None = None
    """Folder or bundled name of a checkpoint to go on from, which keeps its types of objects."""
    pooled: bool = True
    """Whether a frame is the maximum of the last two screens, which shows flickering sprites."""
    frame_skip: int = 4
    """Emulator frames a step."""
    minutes: float | None = None
    """Stop training after so many minutes; the schedule still goes by steps."""
    fit: Annotated[FitConfig, tyro.conf.OmitArgPrefixes] = FitConfig()
    """The training. With --init-from, what is not given of its schedule is that of
    `Schedule.going_on`."""
    background: BackgroundKind = "scenes"
    """What is taken for background: a colour, also one picture, or also one for each scene."""
    model: ModelConfig = ModelConfig()
    """The model; ModelConfig.paper_atari() has the paper's values."""
    measure_sizes: bool = True
    """Whether the rollouts say how large the model's pixels, anchors and boxes are, not --model."""
    calibration: CalibrationConfig = CalibrationConfig()
    """Thresholds of what is measured on the rollouts."""
    play: PlayConfig = PlayConfig()
    """How the model is played; stored in the checkpoint."""
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
    config = args.fit
    if start is not None:
        config = replace(config, schedule=config.schedule.going_on())
    _check(args)
    if start is not None:
        _check_start(start, game, args)
    out = args.out or Path("runs") / f"{game}-{args.seed}"
    fabric = _fabric(args)
    with one_writer(out) if fabric.is_global_zero else nullcontext():
        _run(args, game, start, config, out, fabric)


def _run(
    args: Args,
    game: str,
    start: Checkpoint | None,
    config: FitConfig,
    out: Path,
    fabric: Fabric,
) -> None:
    """Collect, train and score, in a folder that nobody else writes in."""
    if fabric.is_global_zero:
        _open_folder(out, args)
    fabric.launch()
    if fabric.is_global_zero:
        _collect(args, game, out)
    fabric.barrier()
    store = RolloutStore.open(out / "rollouts")
    episodes = {
        name: [store.episode(i) for i in numbers]
        for name, numbers in split(len(store), args.seed).items()
    }
    calibration = calibrate(
        lambda: make_atari(game, pooled=args.pooled, frame_skip=args.frame_skip),
        episodes["train"],
        args.calibration,
        background=args.background,
        seed=args.seed,
    )
    torch.manual_seed(args.seed)
    model = _model(args, start, calibration)
    course = _train(args, config, model, calibration, episodes, out, fabric)
    if not fabric.is_global_zero:
        return
    command = command_line()
    packages = ("silot_gym", "torch", "gymnasium", "ale-py")
    origin = {
        "command": command,
        "seed": args.seed,
        "frames": store.num_frames,
        **course,
        "versions": {package: version(package) for package in packages},
    }
    model = model.cpu().eval().requires_grad_(False)
    # What is saved is what is looked at.
    model.load_state_dict({name: weight.half() for name, weight in model.state_dict().items()})
    calibration = calibration.with_model(
        model,
        episodes["validation"],
        args.calibration,
        play=args.play,
        like=start,
        progress=args.progress,
    )
    Checkpoint(model, calibration, args.play, origin).save(out)
    _score(Checkpoint.load(out), episodes["test"], out, game, command, args)


def _fabric(args: Args) -> Fabric:
    """Devices and precision."""
    return Fabric(
        accelerator=args.device,
        devices=args.devices,
        num_nodes=args.nodes,
        # Not every update uses every part of the model.
        strategy="auto" if args.devices * args.nodes == 1 else "ddp_find_unused_parameters_true",
        precision=best_precision(args.device),
    )


def _model(args: Args, start: Checkpoint | None, calibration: Calibration) -> SILOT:
    """A new model, for objects of the size that was measured; or the one to go on from."""
    if start is not None:
        model = SILOT(start.model.config)
        model.load_state_dict(start.model.state_dict())
        return model
    if not args.measure_sizes:
        return SILOT(args.model)
    frames = calibration.frames
    size, frame_size = calibration.object_size, (frames.height, frames.width)
    return SILOT(sized_for(args.model, size, frame_size, args.fit.crop_size, args.calibration))


def _train(
    args: Args,
    config: FitConfig,
    model: SILOT,
    calibration: Calibration,
    episodes: dict[str, list[Episode]],
    out: Path,
    fabric: Fabric,
) -> dict[str, Any]:
    """Fit the model; how it went."""
    frames, crop_size = calibration.frames, config.crop_size * model.config.pixel_size
    train, held_out = (
        ClipSampler(episodes[part], frames, crop_size, device, config.clips)
        for part, device in (("train", fabric.device), ("validation", "cpu"))
    )
    # On a GPU empty slots cost less than to count them, and what is captured needs fixed shapes.
    objective = SILOTObjective(model, config.schedule, compact=fabric.device.type == "cpu")

    def show(step: int, _: float, logger: TensorBoardLogger) -> None:
        """Log how well the tracker does by now, and a picture of it."""
        model.eval()
        checkpoint = Checkpoint(model, calibration.to(fabric.device), args.play)
        figures = paper_protocol(checkpoint, episodes["validation"], num_clips=WATCHED_CLIPS)
        names = ("MOTA", "IDF1", "count_error")
        logger.scalars("validation", {name: figures[name] for name in names}, step)
        seen = overlay(checkpoint, episodes["validation"][0], length=WATCHED_FRAMES, scale=2)
        logger.picture("tracked", np.concatenate(list(seen), 1), step)
        model.train()

    return fit(
        objective,
        ClipStream(train, config.schedule, config.batch_size, fabric),
        held_out.draw(
            np.random.default_rng(args.seed), config.validation_clips, config.validation_length
        ),
        config,
        out,
        fabric=fabric,
        seed=args.seed,
        minutes=args.minutes,
        progress=args.progress,
        on_validation=show if fabric.is_global_zero else None,
    )


def _score(
    checkpoint: Checkpoint,
    episodes: Sequence[Episode],
    out: Path,
    game: str,
    command: str,
    args: Args,
) -> None:
    """Score and film held-out episodes."""
    print("scoring held-out episodes", flush=True)
    figures = paper_protocol(checkpoint, episodes, num_clips=args.clips, progress=args.progress)
    report = {"command": command, "protocol": "paper", "game": game, **summary(figures)}
    write_atomically(out / METRICS, (json.dumps(report, indent=2) + "\n").encode())
    write_video(out / OVERLAY, overlay(checkpoint, max(episodes, key=len)))
    print(format_table([(game, "silot_gym", figures)]))
    print(f"checkpoint: {out}   video: {out / OVERLAY}   curves: tensorboard --logdir {out}")


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
            trust_policy=args.trust_policy,
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
    if args.fit.batch_size % (args.devices * args.nodes):
        raise ValueError(
            f"expected a --batch-size that {args.devices * args.nodes} processes can share evenly, "
            f"got {args.fit.batch_size}"
        )
    check_device(args.device)
    env = make_atari(args.game, pooled=args.pooled, frame_skip=args.frame_skip)
    height, width, _ = env.observation_space.shape or ()
    env.close()
    pixel_size = 1 if args.measure_sizes else args.model.pixel_size
    check_crop(args.fit.crop_size * pixel_size, height, width)
    if not args.measure_sizes and args.fit.crop_size <= max(args.model.anchor_size):
        raise ValueError(
            f"expected --crop-size above the anchor's {max(args.model.anchor_size):g} pixels: "
            f"one object must not explain all that a crop shows, got {args.fit.crop_size}"
        )
    for name in MEASURED if args.measure_sizes else ():
        if getattr(args.model, name) != getattr(ModelConfig(), name):
            option = f"--model.{name.replace('_', '-')}"
            raise ValueError(
                f"{option} is measured on the rollouts: add --no-measure-sizes to set it"
            )
    if args.frames < 1:
        raise ValueError(f"expected --frames of 1 or more, got {args.frames}")


def _open_folder(out: Path, args: Args) -> None:
    """See that the run's folder is free, or holds this run and it shall go on."""
    asked = {name: value for name, value in asdict(args).items() if name not in FREE}
    # By way of JSON, where a tuple is a list, to be compared with what is read.
    text = json.dumps(asked, default=str, indent=2)
    if not args.resume:
        if any(path.name != LOCK for path in out.iterdir()):
            raise ValueError(
                f"{out} already holds a run: pass --resume to go on with it, or choose another "
                "--out"
            )
    elif (out / ASKED).exists():
        wanted = flat_settings(**json.loads(text))
        found = flat_settings(**json.loads(read_plain(out / ASKED, MOST_TEXT)))
        for name, value in wanted.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{out} holds a run with {name} = {found.get(name)}, but {value} was asked "
                    "for: resume it with its own arguments, or choose another --out"
                )
    write_atomically(out / "command.txt", f"{command_line()}\n".encode())
    write_atomically(out / ASKED, f"{text}\n".encode())
