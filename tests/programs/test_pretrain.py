import importlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from silot_gym.background import Background
from silot_gym.calibration.calibration import Calibration
from silot_gym.calibration.config import CalibrationConfig
from silot_gym.calibration.num_slots import choose_num_slots
from silot_gym.checkpoint import Checkpoint, CheckpointError
from silot_gym.commands import evaluate
from silot_gym.commands import pretrain as collect_and_train
from silot_gym.evaluation.trackers import slot_tracks
from silot_gym.frames import FrameConfig
from silot_gym.model import SILOT, ModelConfig
from silot_gym.programs import require, run
from silot_gym.rollouts import RolloutError, RolloutStore, split
from silot_gym.training.loop import FitConfig
from silot_gym.training.schedule import Schedule
from tests.tiny import TINY

collect_module = importlib.import_module("silot_gym.rollouts.collect")

FIT = FitConfig(Schedule(6), batch_size=2)


def arguments(out: Path) -> collect_and_train.Args:
    return collect_and_train.Args(
        game="pong",
        out=out,
        frames=200,
        max_episode_frames=60,
        fit=FIT,
        clips=4,
        model=TINY,
        progress=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "pong"
    collect_and_train.main(arguments(out))
    return out


def test_a_run_leaves_a_checkpoint_figures_a_film_and_curves(finished: Path) -> None:
    checkpoint = Checkpoint.load(finished)
    assert checkpoint.frames.game == "Pong"
    assert checkpoint.frames.background.colour == (144, 72, 17)
    assert checkpoint.origin["steps"] == 6
    assert checkpoint.types is None or 1 <= len(checkpoint.types) <= 12
    assert checkpoint.model.config.initial_size != TINY.initial_size  # as paddles are measured
    assert checkpoint.model.config.num_slots == TINY.num_slots
    metrics = json.loads((finished / "metrics.json").read_text())
    assert {"MOTA", "AP", "count_error", "prior_MOTA", "command", "game"} <= metrics.keys()
    assert (finished / collect_and_train.OVERLAY).stat().st_size > 1000
    assert list((finished / "tensorboard").glob("events*"))
    assert RolloutStore.open(finished / "rollouts").num_frames >= 200


def test_a_run_goes_on_from_a_checkpoint(finished: Path, tmp_path: Path) -> None:
    start = Checkpoint.load(finished)
    finer = replace(arguments(tmp_path / "finer"), model=ModelConfig(), init_from=str(finished))
    fit = replace(FIT, schedule=Schedule(1, learning_rate=1e-9))
    collect_and_train.main(replace(finer, fit=fit))
    found = Checkpoint.load(tmp_path / "finer")
    assert found.model.config == start.model.config
    for name, value in start.model.state_dict().items():
        assert torch.allclose(found.model.state_dict()[name], value, atol=1e-3), name
    with pytest.raises(ValueError, match=r"expected --init-from made for .*Boxing"):
        collect_and_train.main(replace(finer, game="Boxing", out=tmp_path / "boxing"))
    with pytest.raises(ValueError, match=r"expected no --model with --init-from"):
        collect_and_train.main(replace(finer, model=TINY, out=tmp_path / "model"))


def test_the_same_seed_gives_the_same_weights(finished: Path, tmp_path: Path) -> None:
    collect_and_train.main(arguments(tmp_path / "again"))
    first = load_file(finished / "model.safetensors")
    second = load_file(tmp_path / "again" / "model.safetensors")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_resume_of_a_finished_run_repeats_only_its_scoring(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "config.json").unlink()
    collect_and_train.main(replace(arguments(copy), resume=True))
    first, second = (load_file(folder / "model.safetensors") for folder in (finished, copy))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_resume_with_other_arguments_is_refused_before_anything_is_written(
    finished: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    args = replace(arguments(copy), resume=True)
    for change, message in (
        ({"frames": 600}, r"frames = 200, but 600 was asked for"),
        ({"seed": 1}, r"seed = 0, but 1"),
        ({"fit": replace(FIT, schedule=Schedule(7))}, r"fit.schedule.steps = 6, but 7"),
    ):
        with pytest.raises(ValueError, match=message):
            collect_and_train.main(replace(args, **change))
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_second_writer_is_refused(finished: Path) -> None:
    code = "import sys; from pathlib import Path; from silot_gym.files import one_writer\n"
    code += "with one_writer(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(finished)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError, match="another process is writing in"):
            collect_and_train.main(replace(arguments(finished), resume=True))
        holder.communicate("")


def test_evaluate_scores_films_and_predicts(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main(
        evaluate.Args(
            checkpoint=finished,
            clips=3,
            out=tmp_path / "figures.json",
            video=tmp_path / "film.gif",
            video_frames=6,
            unseen_from=3,
        )
    )
    assert "MOTA" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["protocol"] == "paper"
    assert (tmp_path / "film.gif").stat().st_size > 100


def test_a_checkpoint_without_rollouts_is_scored_on_fresh_ones(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("rollouts"))
    monkeypatch.setattr(evaluate, "FRESH_FRAMES", 30)
    monkeypatch.setattr(collect_module, "MIN_EPISODES", 1)
    out = tmp_path / "figures.json"
    evaluate.main(evaluate.Args(checkpoint=copy, clips=2, out=out, progress=False))
    assert json.loads(out.read_text())["game"] == "Pong"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"game": "SpaceInvadors"}, r"unknown Atari game .*SpaceInvaders"),
        ({"frames": 0}, "--frames of 1 or more, got 0"),
        ({"seed": -1}, "--seed of 0 or more, got -1"),
        ({"minutes": 0.0}, "--minutes above 0"),
        ({"fit": replace(FIT, crop_size=500)}, "no larger than the frames of 160 x 210, got 500"),
        (
            {"fit": replace(FIT, crop_size=24), "measure_sizes": False},
            "--crop-size above the anchor's 24 pixels",
        ),
        ({"model": replace(TINY, pixel_size=2)}, "--model.pixel-size is measured"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        collect_and_train.main(replace(arguments(tmp_path / "run"), **change))
    assert not list(tmp_path.rglob("episode_*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "1 training step or more, got 0"),
        (["--learning-rate", "-1"], "learning rate above 0, got -1"),
        (["--batch-size", "0"], "batch_size of 1 or more, got 0"),
        (["--crop-size", "0"], "crop size of 1 or more"),
        (["--play.relink-distance", "far"], "relink-distance"),
    ],
)
def test_wrong_options_are_refused(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(collect_and_train.main, collect_and_train.Args, ["--game", "Pong", *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_in_use_or_unwritable_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"already holds a run: pass --resume"):
        collect_and_train.main(arguments(finished))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        collect_and_train.main(arguments(tmp_path / "file" / "run"))


def test_damaged_rollouts_are_refused(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    episode = sorted((copy / "rollouts").glob("episode_*"))[2]
    episode.write_bytes(episode.read_bytes()[:-40])
    with pytest.raises(RolloutError, match=episode.name):
        collect_and_train.main(replace(arguments(copy), resume=True))


def test_wrong_checkpoints_are_refused(finished: Path, tmp_path: Path) -> None:
    def damaged(name: str) -> Path:
        copy = tmp_path / name
        shutil.copytree(finished, copy)
        return copy

    cut = damaged("cut")
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged"):
        Checkpoint.load(cut)
    newer = damaged("newer")
    config = json.loads((newer / "config.json").read_text())
    (newer / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(CheckpointError, match="expected format version 6 to 8, got 99"):
        Checkpoint.load(newer)
    garbled = damaged("garbled")
    (garbled / "config.json").write_text(json.dumps(config)[:-30])
    with pytest.raises(CheckpointError, match=r"config.json is damaged"):
        Checkpoint.load(garbled)
    resized = damaged("resized")
    calibration = {**config["calibration"], "height": 100}
    (resized / "config.json").write_text(json.dumps({**config, "calibration": calibration}))
    with pytest.raises(CheckpointError, match=r"does not fit: expected a background of 100 x 160"):
        Checkpoint.load(resized)
    unfinished = damaged("unfinished")
    (unfinished / "config.json").unlink()
    with pytest.raises(CheckpointError, match="finish this one with --resume"):
        Checkpoint.load(unfinished)
    with pytest.raises(CheckpointError, match=r"collect_and_train.py --game"):
        Checkpoint.load("no-such-run")


def test_slots_are_a_quarter_more_than_the_most_objects_in_a_frame(finished: Path) -> None:
    checkpoint = Checkpoint.load(finished)
    store = RolloutStore.open(finished / "rollouts")
    episodes = [store.episode(i) for i in split(len(store), 0)["validation"]]
    everything, most = checkpoint.with_calibration(num_slots=128), 0
    for episode in episodes:
        for t in range(0, len(episode) - 1, max(1, sum(map(len, episodes)) // 64)):
            (tracks,) = slot_tracks(everything, episode.rgb(t, t + 2)[None])
            most = max(most, int(tracks.present[1].sum()))
    assert most > 0
    assert checkpoint.num_slots == min(128, math.ceil(1.25 * most))
    assert choose_num_slots(checkpoint, episodes, CalibrationConfig(max_slots=2)) == 2


def assert_same_background(first: Background, second: Background) -> None:
    assert torch.equal(first.colours, second.colours)
    assert torch.equal(first.pictures, second.pictures)
    assert first.max_foreground == second.max_foreground


def test_a_checkpoint_comes_back_as_it_was(finished: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(finished)
    checkpoint.save(tmp_path)
    again = Checkpoint.load(tmp_path)
    assert again.frames == checkpoint.frames
    assert_same_background(again.frames.background, checkpoint.frames.background)
    assert again.model.config == checkpoint.model.config
    frame = checkpoint.frames.prepare(
        torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 60, 60, 3), np.uint8))
    )
    nothing = checkpoint.model.empty_objects(1)
    one, two = (c.model.step(frame, nothing) for c in (checkpoint, again))
    assert torch.equal(one.objects.presence, two.objects.presence)


def test_a_checkpoint_keeps_any_background(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    some = Background.of([(1, 2, 3), (250, 0, 9)], [noise, noise[::-1]], max_foreground=0.3)
    noisy = FrameConfig(None, 40, 30, background=some)
    for frames in (FrameConfig(None, 40, 30), noisy, noisy.window(0, 40, 5, 25)):
        Checkpoint(SILOT(TINY), Calibration(frames)).save(tmp_path)
        again = Checkpoint.load(tmp_path).frames
        assert again == frames
        assert_same_background(again.background, frames.background)


def test_a_program_ends_with_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["collect_and_train.py", "--game", "Pnog"])
    with pytest.raises(SystemExit) as ended:
        run(collect_and_train.main, collect_and_train.Args)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: unknown Atari game 'Pnog'")
    assert "Pong" in lines[0]


def test_every_program_explains_itself() -> None:
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, root / "pretrain" / "collect_and_train.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--game" in shown
    assert "--resume" in shown


def test_a_missing_package_ends_a_program_with_the_extra_to_install(
    capsys: pytest.CaptureFixture[str],
) -> None:
    require("train", "numpy")
    with pytest.raises(SystemExit) as ended:
        require("train", "numpy", "no_such_package")
    assert ended.value.code == 2
    expected = "error: this program needs no_such_package: pip install 'silot_gym[train]'\n"
    assert capsys.readouterr().err == expected
