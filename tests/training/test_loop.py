import hashlib
import io
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from silot_gym.rollouts import Episode
from silot_gym.training import cuda_graph
from silot_gym.training.clips import ClipSampler
from silot_gym.training.elbo import ELBO
from silot_gym.training.loop import FitConfig, fit
from silot_gym.training.objective import SILOTObjective
from silot_gym.training.schedule import Schedule
from silot_gym.training.state import RESUME_FILE, TrainingError, read_resume_file
from silot_gym.training.step import TrainStep
from silot_gym.training.stream import ClipStream
from tests.tiny import TINY
from tests.training.gpu import Recorder

FRAMES = FrameConfig("Pong", 48, 48)
CONFIG = FitConfig(
    schedule=Schedule(12, curriculum=((0.0, 2), (0.5, 3))),
    batch_size=2,
    save_every=4,
    validate_every=4,
)


def sampler(preprocessing: FrameConfig = FRAMES) -> ClipSampler:
    frames = np.zeros((10, 48, 48), np.uint8)
    for t in range(10):
        frames[t, 10:18, 5 + 2 * t : 13 + 2 * t] = 1
    palette = np.array([[0, 0, 0], [200, 100, 30]], np.uint8)
    return ClipSampler([Episode(frames, palette, np.zeros(10, np.int64))], preprocessing, 36)


def train(
    folder: Path,
    config: FitConfig = CONFIG,
    frames: FrameConfig = FRAMES,
    compact: bool = True,
    fabric: Fabric | None = None,
    **options: Any,
) -> tuple[SILOT, dict[str, Any]]:
    """A model, and how its training went."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = SILOT(TINY)
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    clips = sampler(frames)
    course = fit(
        SILOTObjective(model, config.schedule, compact),
        ClipStream(clips, config.schedule, config.batch_size, fabric),
        clips.draw(np.random.default_rng(0), 2, 3),
        config,
        folder,
        fabric=fabric,
        progress=False,
        **options,
    )
    return model, course


def weights(folder: Path, *args: Any, **options: Any) -> dict[str, Tensor]:
    """What a training ends with."""
    return train(folder, *args, **options)[0].state_dict()


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send Ctrl-C when the clips of a step are drawn."""
    clips, calls = ClipSampler.clips, 0

    def interrupted(self: ClipSampler, *args: Any) -> Tensor:
        nonlocal calls
        if calls == step + 1:  # the first call draws the validation clips
            os.kill(os.getpid(), signal.SIGINT)
        calls += 1
        return clips(self, *args)

    monkeypatch.setattr(ClipSampler, "clips", interrupted)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6)
        with pytest.raises(KeyboardInterrupt, match="saved at step 7 of 12: go on with --resume"):
            train(tmp_path / "cut")
    resumed = weights(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_killed_run_goes_on_from_its_last_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(tmp_path / "whole")
    with monkeypatch.context() as patch:
        clips, calls = ClipSampler.clips, iter(range(100))

        def killed(self: ClipSampler, *args: Any) -> Tensor:
            if next(calls) == 7:
                raise MemoryError
            return clips(self, *args)

        patch.setattr(ClipSampler, "clips", killed)
        with pytest.raises(MemoryError):
            train(tmp_path / "cut")
    resumed = weights(tmp_path / "cut")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_other_settings_and_damaged_files_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(TrainingError, match=r"fit.batch_size = 2, but 3 was asked for"):
        train(tmp_path, replace(CONFIG, batch_size=3))
    with pytest.raises(TrainingError, match=r"fit.schedule.steps = 12, but 13 was asked for"):
        train(tmp_path, replace(CONFIG, schedule=replace(CONFIG.schedule, steps=13)))
    with pytest.raises(TrainingError, match=r"frames.frame_skip = 4, but 3 was asked for"):
        train(tmp_path, frames=replace(FRAMES, frame_skip=3))


def test_every_flipped_bit_of_a_resume_file_is_noticed(tmp_path: Path) -> None:
    train(tmp_path)
    resume = tmp_path / RESUME_FILE
    whole = resume.read_bytes()
    rng = np.random.default_rng(0)
    for bit in [0, *rng.integers(8 * len(whole), size=60).tolist(), 8 * len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        resume.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"resume.pt is damaged"):
            read_resume_file(resume)
    resume.write_bytes(whole[:-500])
    with pytest.raises(TrainingError, match=r"resume.pt is damaged.*delete it"):
        train(tmp_path)
    resume.unlink()
    os.mkfifo(resume)
    with pytest.raises(TrainingError, match=r"it is no plain file") as refused:
        train(tmp_path)
    assert "delete" not in str(refused.value)


def _poison(content: dict[str, Any]) -> None:
    next(iter(content["model"].values())).view(-1)[0] = float("nan")


def _reshape(content: dict[str, Any]) -> None:
    moments = content["optimizer"]["state"][0]
    moments["exp_avg"] = moments["exp_avg"].flatten()[:-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("guard"),
        lambda content: content.pop("optimizer"),
        lambda content: content.update(step=10**6),
        lambda content: content.update(step=-1),
        lambda content: content.update(step="many"),
        lambda content: content["model"].popitem(),
        lambda content: content["optimizer"]["state"].update({10**6: {}}),
        _poison,
        _reshape,
    ],
)
def test_whole_files_that_hold_no_such_training_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    train(tmp_path)
    content = read_resume_file(tmp_path / RESUME_FILE)
    change(content)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    archive = buffer.getvalue()
    (tmp_path / RESUME_FILE).write_bytes(hashlib.sha256(archive).digest() + archive)
    with pytest.raises(TrainingError, match=r"does not hold a training of this version"):
        train(tmp_path)


@pytest.mark.parametrize(
    "poison",
    [lambda loss: loss * float("nan"), lambda loss: loss + (0 * loss).sqrt()],
    ids=["loss", "gradient only"],
)
def test_an_explosion_returns_to_the_last_save_and_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    poison: Callable[[Tensor], Tensor],
) -> None:
    forward, calls = ELBO.forward, 0

    def poisoned(self: ELBO, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += self.training
        loss, *others = forward(self, *args, **options)
        return (poison(loss) if calls == 7 and self.training else loss), *others

    monkeypatch.setattr(ELBO, "forward", poisoned)
    assert all(value.isfinite().all() for value in weights(tmp_path).values())
    assert "by step 8: back to the last save" in capsys.readouterr().out


def test_explosion_after_explosion_stops_with_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = ELBO.forward

    def poisoned(self: ELBO, *args: Any, **options: Any) -> Any:
        loss, *others = forward(self, *args, **options)
        return loss * float("inf"), *others

    monkeypatch.setattr(ELBO, "forward", poisoned)
    with pytest.raises(TrainingError, match=r"by step 1, after 3 returns .* --learning-rate"):
        train(tmp_path)


def test_captured_updates_are_those_that_would_be_done_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    config = replace(CONFIG, schedule=replace(CONFIG.schedule, steps=40))
    whole = weights(tmp_path / "whole", config, compact=False)
    monkeypatch.setattr(cuda_graph, "capture", recorder.capture)
    setup = TrainStep.__init__

    def captured(self: TrainStep, *args: Any, **options: Any) -> None:
        setup(self, *args, **options)
        self._gradient = cuda_graph.CUDAGraphRunner(self._compute)

    monkeypatch.setattr(TrainStep, "__init__", captured)
    same = weights(tmp_path / "captured", config, compact=False)
    assert recorder.records > 4  # lengths, frames without discovery, what is frozen
    assert recorder.launches > 20
    assert all(torch.equal(value, same[name]) for name, value in whole.items())


def test_the_validation_callback_gets_step_seconds_and_log(tmp_path: Path) -> None:
    seen = []
    train(tmp_path, on_validation=lambda step, seconds, _: seen.append((step, seconds)))
    assert [step for step, _ in seen] == [4, 8, 12]
    assert all(seconds > 0 for _, seconds in seen)


def test_a_limit_on_minutes_ends_a_run_early_but_whole(tmp_path: Path) -> None:
    config = replace(CONFIG, schedule=Schedule(10_000))
    model, course = train(tmp_path, config, minutes=1e-4)
    assert 0 < course["steps"] < 100
    saved = read_resume_file(tmp_path / RESUME_FILE)
    assert saved["step"] == course["steps"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved["model"][name])
