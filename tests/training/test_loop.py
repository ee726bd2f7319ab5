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
from silot_gym.training.fit import FitConfig, fit
from torch import Tensor

from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT
from silot_gym.rollouts import Episode
from silot_gym.training import fit as fit_module
from silot_gym.training import recorded
from silot_gym.training.clips import ClipSampler
from silot_gym.training.schedule import Schedule
from silot_gym.training.state import RESUME_FILE, TrainingError
from tests.tiny import TINY
from tests.training.gpu import Recorder

FRAMES = FrameConfig("Pong", 48, 48)
CONFIG = FitConfig(
    schedule=Schedule(12, curriculum=((0.0, 2), (0.5, 3))),
    batch_size=2,
    save_every=4,
    validate_every=4,
    validation_clips=2,
    validation_length=3,
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
    **options: Any,
) -> dict[str, Tensor]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = SILOT(TINY)
    fit(
        model,
        sampler(frames),
        sampler(frames),
        config,
        folder,
        fabric=Fabric(accelerator="cpu", devices=1),
        progress=False,
        **options,
    )
    return model.state_dict()


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
    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6)
        with pytest.raises(KeyboardInterrupt, match="saved at step 7 of 12: go on with --resume"):
            train(tmp_path / "cut")
    resumed = train(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
        assert torch.equal(value, value.half().float()), name


def test_a_killed_run_goes_on_from_its_last_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        clips, calls = ClipSampler.clips, iter(range(100))

        def killed(self: ClipSampler, *args: Any) -> Tensor:
            if next(calls) == 7:
                raise MemoryError
            return clips(self, *args)

        patch.setattr(ClipSampler, "clips", killed)
        with pytest.raises(MemoryError):
            train(tmp_path / "cut")
    resumed = train(tmp_path / "cut")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_other_settings_and_damaged_files_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(TrainingError, match=r"fit.batch_size = 2, but 3 was asked for"):
        train(tmp_path, replace(CONFIG, batch_size=3))
    with pytest.raises(TrainingError, match=r"fit.schedule.steps = 12, but 13 was asked for"):
        train(tmp_path, replace(CONFIG, schedule=replace(CONFIG.schedule, steps=13)))
    with pytest.raises(TrainingError, match=r"frames.frame_skip = 4, but 3 was asked for"):
        train(tmp_path, frames=replace(FRAMES, frame_skip=3))
    resume = tmp_path / RESUME_FILE
    resume.write_bytes(resume.read_bytes()[:-500])
    with pytest.raises(TrainingError, match=r"resume.pt is damaged"):
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
    forward, calls = fit_module.ELBO.forward, 0

    def poisoned(self: fit_module.ELBO, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += self.training
        loss, *others = forward(self, *args, **options)
        return (poison(loss) if calls == 7 and self.training else loss), *others

    monkeypatch.setattr(fit_module.ELBO, "forward", poisoned)
    weights = train(tmp_path)
    assert all(value.isfinite().all() for value in weights.values())
    assert "by step 8: back to the last save" in capsys.readouterr().out


def test_explosion_after_explosion_stops_with_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = fit_module.ELBO.forward

    def poisoned(self: fit_module.ELBO, *args: Any, **options: Any) -> Any:
        loss, *others = forward(self, *args, **options)
        return loss * float("inf"), *others

    monkeypatch.setattr(fit_module.ELBO, "forward", poisoned)
    with pytest.raises(TrainingError, match=r"by step 1, after 3 returns .* --learning-rate"):
        train(tmp_path)


def test_recorded_updates_are_those_that_would_be_done_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(recorded, "capture", recorder.capture)
    config = replace(CONFIG, schedule=replace(CONFIG.schedule, steps=40))
    whole = train(tmp_path / "whole", config)
    monkeypatch.setattr(fit_module, "_alone_on_gpu", lambda fabric: True)
    same = train(tmp_path / "recorded", config)
    assert recorder.records > 4  # lengths, frames without discovery, what is held
    assert recorder.launches > 20
    assert all(torch.equal(value, same[name]) for name, value in whole.items())


def test_a_limit_on_minutes_ends_a_run_early_but_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = SILOT(TINY)
    course = fit(
        model,
        sampler(),
        sampler(),
        replace(CONFIG, schedule=Schedule(10_000)),
        tmp_path,
        fabric=Fabric(accelerator="cpu", devices=1),
        minutes=1e-4,
        progress=False,
    )
    assert 0 < course["steps"] < 100
    saved = torch.load(tmp_path / RESUME_FILE, weights_only=True)
    assert saved["step"] == course["steps"]
    for name, weights in model.state_dict().items():
        assert torch.equal(weights, saved["model"][name].half().float())
