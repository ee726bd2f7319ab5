import json
import re
import shutil
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest

from benchmarks import ablations, atari, play_switches, robustness, table
from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.changed_looks import changes_of
from silot_gym.evaluation.memory_truth import MEMORY_METRICS, load_memory_truth
from silot_gym.evaluation.protocol import METRICS
from silot_gym.evaluation.trackers import slot_tracks, spair_tracks
from silot_gym.play.config import PlayConfig
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import RESET_ACTION, Episode, RolloutInfo, RolloutStore, collect
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
    assert "ConnComp" in table.memory_truth(arguments.results)


def test_ours_are_the_slots_that_the_wrapper_shows(finished_run, truth_folder):
    checkpoint = Checkpoint.load(finished_run)
    frames = load_memory_truth(truth_folder / "SpaceInvaders.npz").rgb()
    tracks = slot_tracks(checkpoint, list(frames))
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
    assert "what moves" not in table.memory_truth(arguments.results)


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


def test_tables_go_between_their_markers(results):
    readme = results / "README.md"
    readme.write_text("before\n<!-- paper protocol -->\nold\n<!-- end -->\nafter\n")
    table.main(table.Args((readme,), results))
    text = readme.read_text()
    assert text.startswith("before\n<!-- paper protocol -->\n\n")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in text
    lines = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if "|" in line]
    mean, worst_count = "0.85 (0.80)", "0.85 (0.90)"
    ours = [mean, mean, worst_count, mean, mean, mean, mean]
    assert ["SpaceInvaders", "silot_gym", *ours, "2", "11.00 (12.00)"] in lines
    paper = ["0.89", "0.73", "2.94", *["—"] * 6]
    assert ["SpaceInvaders", "SILOT in the paper", *paper] in lines
    assert ["WizardOfWor", "ConnComp", *["0.70"] * 7, "1", "—"] in lines
    table.main(table.Args((readme,), results))
    assert readme.read_text() == text


def test_bundled_checkpoints_stand_beside_connected_regions(results):
    figures = {"F1": 0.95, "MOTA": 0.9, "IDF1": 0.8, "HOTA": 0.7}
    switches = {"as it ships": figures, "boxes not fitted": {**figures, "F1": 0.5}}
    (results / "play_switches.json").write_text(json.dumps({"games": {"SpaceInvaders": switches}}))
    (line,) = [line for line in table.games(results).splitlines() if "SpaceInvaders" in line]
    assert re.split(r" *\| *", line)[2:-1] == ["0.95", "0.21", "0.90", "0.21", "0.80", "0.21"]
    lines = table.play_switches(results).splitlines()
    assert "0.950, 0.800" in lines[-2] and "-0.450, +0.000" in lines[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no place\n", r"README.md: expected the lines <!-- name of a table -->"),
        ("<!-- prices --><!-- end -->", r"README.md: expected a table of games, .*, got 'prices'"),
    ],
)
def test_a_file_without_a_place_for_a_table_stays_as_it_is(results, text, message):
    readme = results / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match=message):
        table.main(table.Args((readme,), results))
    assert readme.read_text() == text


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_missing_and_damaged_results(tmp_path, content):
    with pytest.raises(ValueError, match=r"found none: run `python benchmarks/atari.py"):
        table.memory_truth(tmp_path)
    (tmp_path / "atari_Pong_0.json").write_text(content)
    with pytest.raises(ValueError, match=r"atari_Pong_0.json: expected a report"):
        table.memory_truth(tmp_path)


def test_an_ablation_is_scored_under_both_protocols(truth_folder, tmp_path, monkeypatch):
    tiny = ablations.Change("a tiny model", asdict(TINY))
    monkeypatch.setattr(ablations, "CHANGES", {"tiny": tiny})
    monkeypatch.setattr(ablations, "collect", partial(collect, max_episode_frames=40))
    arguments = ablations.Args(
        games=("space_invaders",),
        changes=("tiny",),
        seeds=(3,),
        steps=2,
        clips=2,
        frames=240,
        rollouts=tmp_path / "rollouts",
        truth=truth_folder,
        results=tmp_path / "results",
        progress=False,
    )
    ablations.main(arguments)
    (file,) = arguments.results.iterdir()
    assert file.name == "SpaceInvaders_tiny_3.json"
    report = json.loads(file.read_text())
    assert set(METRICS) <= set(report["figures"]["paper"])
    assert set(report["figures"]["memory"]) == set(MEMORY_METRICS)
    assert report["steps"] == 2 and report["seconds"] > 0
    file.write_text("kept")
    ablations.main(arguments)
    assert file.read_text() == "kept"


def test_the_table_of_ablations_has_differences_of_the_same_seeds(tmp_path):
    (tmp_path / "ablations").mkdir()
    for change, what, values in (
        ("default", "the default settings", (0.9, 0.7)),
        ("other", "something else", (0.8, 0.5)),
    ):
        for seed, value in enumerate(values):
            report = {
                "game": "Pong",
                "seed": seed,
                "change": change,
                "what": what,
                "steps": 1,
                "figures": {"memory": {"F1": value, "IDF1": value}, "paper": {"MOTA": value}},
            }
            file = tmp_path / "ablations" / f"Pong_{change}_{seed}.json"
            file.write_text(json.dumps(report))
    lines = table.ablations(tmp_path).splitlines()
    assert "0.800 ± 0.100" in lines[-2] and "-0.150 ± 0.050" in lines[-1]


def test_an_unknown_ablation_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected --changes of default, .*, got colour"):
        ablations.main(ablations.Args(changes=("colour",), results=tmp_path))


def test_switches_of_play_are_scored_and_added_to_the_file(truth_folder, tmp_path):
    arguments = play_switches.Args(
        games=("SpaceInvaders",),
        switches=("as it ships",),
        truth=truth_folder,
        out=tmp_path / "switches.json",
        progress=False,
    )
    play_switches.main(arguments)
    play_switches.main(replace(arguments, switches=("boxes not fitted",)))
    figures = json.loads(arguments.out.read_text())["games"]["SpaceInvaders"]
    assert set(figures) == {"as it ships", "boxes not fitted"}
    assert figures["as it ships"]["F1"] > 0.8
    with pytest.raises(ValueError, match=r"expected --switches of .*, got \['light'\]"):
        play_switches.main(replace(arguments, switches=("light",)))


def test_every_switch_is_one_of_play():
    played = [PlayConfig.of(changes) for changes in play_switches.SWITCHES.values()]
    assert len(set(played)) == len(played) and played[0] == PlayConfig()


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
