import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks import ablations, atari, robustness, table
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.changed_looks import changes_of
from silot_gym.evaluation.memory_truth import MEMORY_METRICS, load_memory_truth
from silot_gym.evaluation.protocol import METRICS
from silot_gym.evaluation.trackers import slot_tracks, spair_tracks
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import RESET_ACTION, Episode, RolloutInfo, RolloutStore
from tests.tiny import TINY

DATA = atari.PIPELINE.parents[1] / "benchmarks" / "data"


@pytest.fixture(scope="module")
def truth_folder(tmp_path_factory):
    """Two sequences of four frames."""
    folder = tmp_path_factory.mktemp("truth")
    with np.load(DATA / "SpaceInvaders.npz") as file:
        whole = ("palette", "categories", "meta")
        cut = {name: v if name in whole else v[:2, :4] for name, v in file.items()}
    np.savez_compressed(folder / "SpaceInvaders.npz", **cut)
    return folder


@pytest.fixture(scope="module")
def finished_run(tiny_checkpoint, truth_folder, tmp_path_factory):
    """The folder of a run of Space Invaders, its training left out."""
    folder = tmp_path_factory.mktemp("run") / "SpaceInvaders-0"
    checkpoint = Checkpoint.load(tiny_checkpoint)
    frames = replace(checkpoint.frames, game="SpaceInvaders")
    origin = {"seed": 0, "seconds": 60.0}
    replace(checkpoint.with_calibration(frames=frames), origin=origin).save(folder)
    info = RolloutInfo("SpaceInvaders", 4, True, 0.25, "none", 0, 10, 210, 160, {})
    store = RolloutStore.create(folder / "rollouts", info)
    with np.load(DATA / "SpaceInvaders.npz") as file:
        for pixels in file["frames"][:3, :10]:
            store.append(Episode(pixels, file["palette"], np.full(len(pixels), RESET_ACTION)))
    return folder


@pytest.fixture
def arguments(finished_run, truth_folder, tmp_path):
    return atari.Args(
        "space_invaders",
        checkpoint=finished_run,
        results=tmp_path / "results",
        truth=truth_folder,
        clips=2,
        progress=False,
    )


def test_a_checkpoint_is_scored_beside_simpler_trackers(arguments):
    atari.main(arguments)
    report = json.loads((arguments.results / "atari_SpaceInvaders_0.json").read_text())
    assert report["seconds"] == {"training": 60.0}
    assert set(report["paper_protocol"]["silot_gym"]) == set(METRICS)
    assert set(report["paper_protocol"]["ConnComp"]) == set(METRICS)
    assert set(report["paper_protocol"]["SPAIR"]) == set(METRICS)
    for required in ("what_moves", "all_drawn"):
        figures = report["memory_truth"][required]
        assert set(figures) == {"silot_gym", "SPAIR", "SPAIR plain", "ConnComp"}
        assert all(set(values) == set(MEMORY_METRICS) for values in figures.values())
        assert figures["ConnComp"]["recall"] > 0.9
    assert {"command", "versions", "cpu", "threads"} <= report.keys()
    assert report["memory_ConnComp"]["one_colour"] in (True, False)
    assert report["paper_ConnComp"]["background"] == [0, 0, 0]
    assert "silot_gym" in table.layout([report])


def test_ours_are_the_slots_that_the_wrapper_shows(finished_run, truth_folder):
    checkpoint = Checkpoint.load(finished_run)
    frames = load_memory_truth(truth_folder / "SpaceInvaders.npz").rgb()
    tracks = slot_tracks(checkpoint, frames)
    tracker = SlotTracker(checkpoint)
    for t, frame in enumerate(frames[1]):
        slots = tracker.step(frame[None])
        assert (slots.track_id[0] == tracks[1].track_id[t]).all()
        present = tracks[1].present[t]
        assert slots.boxes[0][present] == pytest.approx(tracks[1].boxes[t][present], abs=1e-3)
        assert np.isnan(tracks[1].boxes[t][~present]).all()
    assert (tracks[1].confidence[tracks[1].present] >= checkpoint.play.presence_threshold).all()


def test_spair_sees_each_frame_by_itself_and_links_what_it_finds(finished_run, truth_folder):
    checkpoint = Checkpoint.load(finished_run)
    first, last = load_memory_truth(truth_folder / "SpaceInvaders.npz").rgb()[:, 0]
    (tracks,) = spair_tracks(checkpoint, [np.stack([first, first, last, first])], 0.3)
    boxes = [frame[present] for frame, present in zip(tracks.boxes, tracks.present, strict=True)]
    assert len(boxes[0]) > 1
    assert (boxes[0] == boxes[3]).all()
    assert (tracks.track_id[0] == tracks.track_id[1]).all()
    assert (tracks.confidence[tracks.present] >= 0.3).all()


def test_a_game_without_memory_truth_gets_the_other_figures(arguments, tmp_path):
    (tmp_path / "empty").mkdir()
    atari.main(replace(arguments, truth=tmp_path / "empty"))
    report = json.loads((arguments.results / "atari_SpaceInvaders_0.json").read_text())
    assert "memory_truth" not in report
    assert "Truth from" not in table.layout([report])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"game": "Pong"}, "expected a run of"),
        ({"seed": 1}, "expected a run of"),
        ({"seed": -1}, "--seed of 0 or more"),
        ({"clips": 0}, "--clips of 1 or more"),
        ({"truth": DATA / "nowhere"}, "folder of memory truth"),
    ],
)
def test_wrong_arguments_are_refused(arguments, change, message):
    with pytest.raises(ValueError, match=message):
        atari.main(replace(arguments, **change))
    assert not list(arguments.results.glob("*"))


def test_a_run_that_is_there_is_not_trained_over(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "benchmark-SpaceInvaders-0").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"score it with --checkpoint runs"):
        atari.main(replace(arguments, checkpoint=None))


def test_training_from_scratch_is_timed(arguments, finished_run, tmp_path, monkeypatch):
    commands = []

    def train(command, check):
        commands.append(command)
        shutil.copytree(finished_run, command[command.index("--out") + 1])
        return atari.subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(atari.subprocess, "run", train)
    atari.main(replace(arguments, checkpoint=None))
    assert commands[0][2:6] == ["--game", "SpaceInvaders", "--seed", "0"]
    report = json.loads((arguments.results / "atari_SpaceInvaders_0.json").read_text())
    assert report["seconds"].keys() == {"collection", "training", "total"}


def report(game, seed, value, minutes=10):
    """What `atari.py` writes, with one value for all figures."""
    trackers = ("silot_gym", "SPAIR", "ConnComp")
    return {
        "game": game,
        "seed": seed,
        "seconds": {"total": 60.0 * minutes},
        "cpu": "Abacus",
        "threads": 2,
        "paper_protocol": {name: dict.fromkeys(METRICS, value) for name in trackers},
        "memory_truth": {
            required: {name: dict.fromkeys(MEMORY_METRICS, value / 4) for name in trackers}
            for required in ("what_moves", "all_drawn")
        },
    }


@pytest.fixture
def results(tmp_path):
    reports = [report("SpaceInvaders", 0, 0.9), report("SpaceInvaders", 1, 0.8, minutes=12)]
    for one in [*reports, report("WizardOfWor", 0, 0.7)]:
        (tmp_path / f"atari_{one['game']}_{one['seed']}.json").write_text(json.dumps(one))
    return tmp_path


def test_the_table_goes_between_the_markers(results, capsys):
    readme = results / "README.md"
    readme.write_text("before\n<!-- atari table -->\nold\n<!-- end of atari table -->\nafter\n")
    table.main(table.Args(results, readme))
    text = readme.read_text()
    assert text.startswith("before\n<!-- atari table -->\n\n")
    assert text.endswith("\n\n<!-- end of atari table -->\nafter\n")
    assert "old" not in text
    assert capsys.readouterr().out.strip() in text
    mean, worst_count = "0.85 (0.80)", "0.85 (0.90)"
    ours = f"| {mean} | {mean} | {worst_count} | {mean} | {mean} | {mean} | {mean} |"
    assert f"| SpaceInvaders | silot_gym | 2 | 11.00 (12.00) {ours}" in text
    assert (
        "| SpaceInvaders | SILOT in the paper | — | — | 0.89 | 0.73 | 2.94 | — | — | — | — |"
        in text
    )
    assert (
        "| WizardOfWor | ConnComp | 1 | — | 0.70 | 0.70 | 0.70 | 0.70 | 0.70 | 0.70 | 0.70 |"
        in text
    )
    assert "| SpaceInvaders | what moves | SPAIR | 2 | — | 0.21 (0.20) |" in text
    assert "seeds 0, 1, on Abacus, 2 threads." in text
    table.main(table.Args(results, readme))
    assert readme.read_text() == text


def test_a_readme_without_markers_stays_as_it_is(results):
    readme = results / "README.md"
    readme.write_text("<!-- atari table --> only\n")
    with pytest.raises(ValueError, match=r"README.md: expected the lines <!-- atari table -->"):
        table.main(table.Args(results, readme))
    assert readme.read_text() == "<!-- atari table --> only\n"


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_missing_and_damaged_results(tmp_path, content):
    with pytest.raises(ValueError, match=r"found none: make them with"):
        table.main(table.Args(tmp_path))
    (tmp_path / "atari_Pong_0.json").write_text(content)
    with pytest.raises(ValueError, match=r"atari_Pong_0.json: expected a report"):
        table.main(table.Args(tmp_path))


def test_an_ablation_tells_how_training_goes(finished_run, tmp_path, monkeypatch, capsys):
    tiny = ablations.Change("a tiny model", asdict(TINY))
    monkeypatch.setattr(ablations, "CHANGES", {"tiny": tiny})
    arguments = ablations.Args(finished_run, ("tiny",), steps=3, clips=2, results=tmp_path)
    ablations.main(replace(arguments, progress=False))
    (file,) = tmp_path.glob(table.ABLATIONS)
    (report,) = table.read_reports(tmp_path, table.ABLATIONS, table.EXPECTED_OF_ABLATIONS)
    assert file.name == "ablation_SpaceInvaders_tiny_0.json"
    assert [point["step"] for point in report["curve"]] == [1, 2, 3]
    assert report["figures"] == report["curve"][-1]
    times = [point["seconds"] for point in report["curve"]]
    assert times == sorted(times)
    assert (report["seconds_to_enough"] is None) == (report["figures"]["MOTA"] < 0.8)
    assert "| a tiny model | 3 |" in table.ablations([report])


def test_an_unknown_ablation_is_refused(finished_run, tmp_path):
    with pytest.raises(ValueError, match=r"expected --change of default, .*, got colour"):
        ablations.main(ablations.Args(finished_run, ("colour",), results=tmp_path))


def test_tracking_is_scored_on_changed_frames(truth_folder, tmp_path, capsys):
    robustness.main(
        robustness.Args(("space_invaders",), truth=truth_folder, results=tmp_path, progress=False)
    )
    figures = json.loads((tmp_path / "robustness_tracking.json").read_text())["tracking"]
    scores = figures["SpaceInvaders"]
    assert set(scores) == {"unchanged", *changes_of("SpaceInvaders")}
    assert scores["unchanged"]["F1"] > 0.8
    for noise in ("noise of 1", "noise of 2"):
        assert scores[noise]["F1"] == pytest.approx(scores["unchanged"]["F1"], abs=0.03)
    table = capsys.readouterr().out
    assert f"| SpaceInvaders | noise of 2 | {scores['noise of 2']['F1']:.2f} |" in table


def test_robustness_of_a_game_without_a_checkpoint_is_refused(truth_folder, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint is bundled for Tennis"):
        robustness.main(robustness.Args(("tennis",), truth=truth_folder, results=tmp_path))
