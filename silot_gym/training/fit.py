"""The training loop: linear, resumable, and fit to be interrupted at any moment."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from silot_gym.model import SILOT
from silot_gym.objects import Objects
from silot_gym.training.clips import ClipSampler
from silot_gym.training.elbo import ELBO
from silot_gym.training.interrupt import Interrupt
from silot_gym.training.journal import Journal
from silot_gym.training.recorded import Recorded
from silot_gym.training.schedule import Schedule
from silot_gym.training.state import RESUME_FILE, TrainingState, flat_settings

_EXPLODED = 3.0
"""A loss that many times the untrained model's is taken for an explosion."""
_LOOK_EVERY = 25
"""Steps between looks at the loss, for each of which the host waits for the device."""


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted.

    Attributes:
        schedule: what changes with the steps.
        batch_size: clips an update.
        clip_gradient: largest norm of the gradient.
        save_every: steps between saves of the resume file.
        validate_every: steps between validations.
        validation_clips: clips that each validation looks at, always the same ones.
        validation_length: their frames.
        seed: of clips and noise.
    """

    schedule: Schedule = field(default_factory=lambda: Schedule(5000))
    batch_size: int = 32
    clip_gradient: float = 10.0
    save_every: int = 250
    validate_every: int = 500
    validation_clips: int = 32
    validation_length: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be run."""
        for name in ("batch_size", "save_every", "validate_every", "validation_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of 1 or more, got {getattr(self, name)}")
        if self.clip_gradient <= 0:
            raise ValueError(f"expected clip_gradient above 0, got {self.clip_gradient}")


def fit(
    model: SILOT,
    train: ClipSampler,
    validation: ClipSampler,
    config: FitConfig,
    folder: Path,
    *,
    fabric: Fabric,
    minutes: float | None = None,
    progress: bool = True,
    watch: Callable[[int, float], None] | None = None,
) -> dict[str, Any]:
    """Fit a model to clips; it ends with weights in half precision, all that a checkpoint has.

    These are the last ones. (While presence, stay and size are not decided yet, the validation loss
    may be lower than ever after: one that was best by it took boxers to pieces.)

    If the folder holds the resume file of an interrupted training, that one goes on. It ends with
    the same weights as one that was never interrupted, on the same machine and CPU.

    Args:
        model: what is trained, in place.
        train: draws the clips to learn from.
        validation: draws the clips of the validation curves.
        config: how to train.
        folder: where the resume file and the TensorBoard log go.
        fabric: devices and precision. Several processes share the clips of each update, and only
            the first of them writes.
        minutes: stop after so many minutes of training, those before an interruption counted in.
        progress: whether to show a bar.
        watch: called with the step and the seconds of training at each validation.

    Returns:
        How it went: steps and seconds.

    Raises:
        ValueError: the batch can't be shared by the processes evenly.
        TrainingError: the loss explodes again and again, or the resume file is damaged or was
            written under other settings.
        KeyboardInterrupt: after Ctrl-C, when all is saved; its message says how to go on.
    """
    schedule = config.schedule
    if config.batch_size % fabric.world_size:
        raise ValueError(
            f"expected a batch size that {fabric.world_size} processes can share evenly, "
            f"got {config.batch_size}"
        )
    bare_elbo, optimizer = ELBO(model), torch.optim.Adam(model.parameters(), fused=True)
    elbo, fabric_optimizer = fabric.setup(bare_elbo, optimizer)
    frames = train.frames.numbers() | {
        "background": train.frames.background.digest(),
        "crop_size": train.crop_size,
    }
    settings = flat_settings(model=asdict(model.config), frames=frames, fit=asdict(config))
    state = TrainingState(model, optimizer, settings, folder, writes=fabric.is_global_zero)
    if (folder / RESUME_FILE).exists():
        state.load()
    fabric.barrier()  # lest a process finds the file that another one writes next
    state.save()
    held_out = fabric.to_device(
        validation.draw(
            np.random.default_rng(config.seed),
            config.validation_clips,
            config.validation_length,
        )
    )
    share = config.batch_size // fabric.world_size  # of each update's clips
    mine = slice(share * fabric.global_rank, share * (fabric.global_rank + 1))

    def gradient(tensors: dict[str, Tensor], **options: Any) -> tuple[Any, ...]:
        """What `ELBO` returns for a video and last objects, if any; and the loss's gradient."""
        last = dict(tensors)
        video = last.pop("video")
        optimizer.zero_grad()
        loss, terms, objects = elbo(video, last or None, **options)
        fabric.backward(loss)
        return loss.detach(), terms, objects, [weight.grad for weight in model.parameters()]

    gradient_of = Recorded(gradient) if _alone_on_gpu(fabric) else gradient

    def update() -> tuple[Tensor, dict[str, Tensor]]:
        """One step down the gradient; what it draws depends on nothing but the state.

        All processes draw the same clips and take their share; the noise is each one's own.
        """
        seeds = (config.seed, state.step, state.steps_back)
        rng = np.random.default_rng(seeds)
        noise = np.random.SeedSequence((*seeds, fabric.global_rank))
        torch.manual_seed(int(noise.generate_state(1)[0]))
        length = schedule.clip_length_at(state.step)
        last: dict[str, Tensor] = {}
        if state.objects is None or state.step < schedule.carry_over * schedule.steps:
            places = train.places(rng, config.batch_size, length)
        else:
            assert state.places is not None
            places, new = train.following(rng, state.places.numpy(), length, schedule.renewal)
            before = Objects(**fabric.to_device(state.objects))
            last = vars(before.forget(fabric.to_device(torch.from_numpy(new[mine]))))
        discover = tuple(
            t == 0 or bool(rng.random() >= schedule.discovery_dropout) for t in range(length)
        )
        bare_elbo.count_prior.set(schedule.count_log_odds_at(state.step))
        loss, terms, state.objects, gradients = gradient_of(
            {"video": fabric.to_device(train.clips(places[mine], length)), **last},
            discover=discover,
            held=schedule.held_at(state.step),
        )
        state.places = torch.from_numpy(places) + torch.tensor([0, length, 0, 0])
        for weight, slope in zip(model.parameters(), gradients, strict=True):
            weight.grad = slope
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate_at(state.step)
        norm = fabric.clip_gradients(
            elbo, fabric_optimizer, max_norm=config.clip_gradient, error_if_nonfinite=False
        )
        fabric_optimizer.step()
        # A gradient that is not finite has just spoilt the weights, though the loss was fine.
        assert norm is not None
        mean = fabric.all_reduce(loss, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean.where(norm.isfinite(), math.nan), terms

    def save() -> None:
        """Write the resume file."""
        if fabric.world_size > 1:
            state.objects = None  # other processes have others
        state.save()

    def anywhere(flag: bool) -> bool:
        """Whether a flag is up in any process."""
        if fabric.world_size == 1:
            return flag
        flags = fabric.all_reduce(fabric.to_device(torch.tensor(float(flag))), reduce_op="sum")
        return bool(flags)

    def validate(journal: Journal) -> None:
        """Loss on the held-out clips, with nothing drawn."""
        bare_elbo.eval()
        with torch.no_grad(), fabric.autocast():
            bare_elbo.count_prior.set(schedule.last_count_log_odds)
            loss, terms, _ = bare_elbo(held_out)
            journal.pictures(model, held_out[0], state.step)
        bare_elbo.train()
        journal.scalars("validation", _per_frame(loss, terms, config.validation_length), state.step)
        if watch is not None:
            watch(state.step, state.seconds)

    started = time.monotonic() - state.seconds
    with (
        Interrupt() as interrupt,
        Journal(folder, state.step, writes=fabric.is_global_zero) as journal,
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
            loss, terms = update()
            highest = torch.maximum(highest, loss / length)  # NaN is highest of all
            state.step += 1
            state.seconds = time.monotonic() - started
            bar.update()
            late = minutes is not None and anywhere(state.seconds > 60 * minutes)
            finished = late or state.step == schedule.steps
            stop = anywhere(interrupt.requested)
            validates = finished or state.step % config.validate_every == 0
            saves = finished or stop or state.step % config.save_every == 0
            untold = math.isnan(state.first_loss)
            if not (validates or saves or untold or state.step % _LOOK_EVERY == 0):
                continue
            per_frame, highest = float(highest), torch.zeros_like(highest)
            if untold:
                state.first_loss = per_frame
            if not per_frame < _EXPLODED * max(state.first_loss, 1.0):
                bar.write(f"loss {per_frame:.3g} by step {state.step}: back to the last save")
                state.step_back(per_frame)
                bar.n, finished = state.step, False
                continue
            if state.step % _LOOK_EVERY == 0:
                scalars = _per_frame(loss, terms, length)
                bar.set_postfix(loss=f"{scalars['loss']:.0f}", objects=f"{scalars['objects']:.1f}")
                journal.scalars("train", scalars, state.step)
            if validates:
                validate(journal)
            if saves:
                save()
            if stop and not finished:
                raise KeyboardInterrupt(
                    f"saved at step {state.step} of {schedule.steps}: go on with --resume"
                )
    model.load_state_dict({name: value.half() for name, value in model.state_dict().items()})
    model.eval()
    return {"steps": state.step, "seconds": round(state.seconds, 1)}


def _alone_on_gpu(fabric: Fabric) -> bool:
    """Whether work can be recorded: what several processes tell one another meanwhile is not."""
    return fabric.device.type == "cuda" and fabric.world_size == 1


def _per_frame(loss: Tensor, terms: dict[str, Tensor], length: int) -> dict[str, float]:
    """Loss and terms in nats a frame, and the number of objects, as plain numbers."""
    names = list(terms)
    values = torch.stack([loss.detach(), *terms.values()]).tolist()
    scalars = {name: value / length for name, value in zip(["loss", *names], values, strict=True)}
    return {**scalars, "objects": scalars["objects"] * length}
