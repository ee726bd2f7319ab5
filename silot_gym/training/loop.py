"""The training loop: linear, resumable, and fit to be interrupted at any moment."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from silot_gym.training.clips import ClipConfig
from silot_gym.training.interrupt import Interrupt
from silot_gym.training.logger import TensorBoardLogger
from silot_gym.training.objective import Objective
from silot_gym.training.schedule import Schedule
from silot_gym.training.state import RESUME_FILE, TrainingState, flat_settings
from silot_gym.training.step import TrainStep
from silot_gym.training.stream import ClipStream

OnValidation = Callable[[int, float, TensorBoardLogger], None]
"""Called with the step, the seconds of training, and the log."""


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted.

    Attributes:
        schedule: what changes with the steps.
        batch_size: clips an update.
        crop_size: side of the crops, in the model's pixels.
        clips: which crops are shown.
        clip_gradient: largest norm of the gradient.
        save_every: steps between saves of the resume file.
        validate_every: steps between validations.
        check_every: steps between looks at the loss, for each of which the host waits for the
            device.
        validation_clips: clips that each validation looks at, always the same ones.
        validation_length: their frames.
    """

    schedule: Schedule = field(default_factory=Schedule)
    batch_size: int = 32
    crop_size: int = 48
    clips: ClipConfig = field(default_factory=ClipConfig)
    clip_gradient: float = 10.0
    save_every: int = 250
    validate_every: int = 500
    check_every: int = 25
    validation_clips: int = 32
    validation_length: int = 8

    def __post_init__(self) -> None:
        """Refuse what can't be run."""
        for name in (
            "batch_size",
            "validation_clips",
            "save_every",
            "validate_every",
            "check_every",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of 1 or more, got {getattr(self, name)}")
        if self.clip_gradient <= 0:
            raise ValueError(f"expected clip_gradient above 0, got {self.clip_gradient}")


def fit(
    objective: Objective,
    stream: ClipStream,
    held_out: Tensor,
    config: FitConfig,
    folder: Path,
    *,
    fabric: Fabric,
    seed: int = 0,
    minutes: float | None = None,
    progress: bool = True,
    on_validation: OnValidation | None = None,
) -> dict[str, Any]:
    """Fit a model to clips. It ends with its last weights.

    (While presence, stay and size are frozen, the validation loss may be lower than ever after: a
    model that was best by it split boxers into parts.)

    If the folder holds the resume file of an interrupted training, that one goes on. It ends with
    the same weights as one that was never interrupted, on the same machine and CPU.

    Args:
        objective: what is trained, in place.
        stream: the clips to learn from.
        held_out: (B, T, 3, height, width), the clips of the validation curves.
        config: how to train.
        folder: where the resume file and the TensorBoard log go.
        fabric: devices and precision. Several processes share the clips of each update, and only
            the first of them writes.
        seed: of clips and noise.
        minutes: stop after so many minutes of training, those before an interruption counted in.
        progress: whether to show a bar.
        on_validation: what else is done at each validation.

    Returns:
        How it went: steps and seconds.

    Raises:
        TrainingError: the loss explodes again and again, or the resume file is damaged or was
            written under other settings.
        KeyboardInterrupt: after Ctrl-C, when all is saved; its message says how to go on.
    """
    schedule = config.schedule
    optimizer = torch.optim.Adam(objective.model.parameters(), fused=True)
    train_step = TrainStep(
        objective,
        stream,
        optimizer,
        schedule,
        fabric=fabric,
        clip_gradient=config.clip_gradient,
        seed=seed,
    )
    settings = flat_settings(
        **objective.settings(), frames=stream.settings(), fit={**asdict(config), "seed": seed}
    )
    state = TrainingState(objective, stream, optimizer, settings, folder, fabric)
    if (folder / RESUME_FILE).exists():
        state.load()
    fabric.barrier()  # or a process would find the file that another one writes next
    state.save()
    held_out = fabric.to_device(held_out)
    started = time.monotonic() - state.seconds
    with (
        Interrupt() as interrupt,
        TensorBoardLogger(folder, state.step, writes=fabric.is_global_zero) as logger,
        tqdm(
            total=schedule.steps,
            initial=state.step,
            desc="training",
            disable=not (progress and fabric.is_global_zero),
        ) as bar,
    ):
        finished = state.step >= schedule.steps
        highest = fabric.to_device(torch.zeros(()))  # loss a frame since the last look
        while not finished:
            length = schedule.clip_length_at(state.step)
            loss, terms = train_step(state.step, state.guard.steps_back)
            highest = torch.maximum(highest, loss / length)  # NaN is highest of all
            state.step += 1
            state.seconds = time.monotonic() - started
            bar.update()
            late = minutes is not None and any_process(fabric, state.seconds > 60 * minutes)
            finished = late or state.step == schedule.steps
            stop = any_process(fabric, interrupt.requested)
            validates = finished or state.step % config.validate_every == 0
            saves = finished or stop or state.step % config.save_every == 0
            checks = state.step == 1 or state.step % config.check_every == 0
            if not (validates or saves or checks):
                continue
            per_frame, highest = float(highest), torch.zeros_like(highest)
            if state.guard.broken(per_frame):
                bar.write(f"loss {per_frame:.3g} by step {state.step}: back to the last save")
                state.step_back(per_frame)
                bar.n, finished = state.step, False
                continue
            if checks:
                scalars = _per_frame(loss, terms, length)
                bar.set_postfix(loss=f"{scalars['loss']:.0f}")
                logger.scalars("train", scalars, state.step)
            if validates:
                with fabric.autocast():
                    scalars = _per_frame(*objective.validation(held_out), held_out.shape[1])
                logger.scalars("validation", scalars, state.step)
                if on_validation is not None:
                    on_validation(state.step, state.seconds, logger)
            if saves:
                state.save()
            if stop and not finished:
                raise KeyboardInterrupt(
                    f"saved at step {state.step} of {schedule.steps}: go on with --resume"
                )
    return {"steps": state.step, "seconds": round(state.seconds, 1)}


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether a flag is up in any process."""
    if fabric.world_size == 1:
        return flag
    flags = fabric.all_reduce(fabric.to_device(torch.tensor(float(flag))), reduce_op="sum")
    return bool(flags)


def _per_frame(loss: Tensor, terms: dict[str, Tensor], length: int) -> dict[str, float]:
    """Loss and terms in nats a frame, and the number of objects, as plain numbers."""
    names = list(terms)
    values = torch.stack([loss.detach(), *terms.values()]).tolist()
    scalars = {name: value / length for name, value in zip(["loss", *names], values, strict=True)}
    if "objects" in scalars:  # a number in each frame already
        scalars["objects"] *= length
    return scalars
