"""Learning curves by hand."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from silot_gym.agents import curves
from silot_gym.agents.curves import curve, draw_curves, plot_curves, read_episodes
from silot_gym.agents.run import AgentRun

HEADER = "steps,return,length,seconds,cpu_seconds\n"


def episodes(steps, returns):
    return {"steps": np.array(steps, float), "return": np.array(returns, float)}


@pytest.fixture(autouse=True)
def mean_of_two(monkeypatch):
    monkeypatch.setattr(curves, "EPISODES", 2)
    monkeypatch.setattr(curves, "POINTS", 4)


def test_points_are_means_of_the_last_episodes():
    grid = np.array([5, 10, 20, 25, 40, 41.0])
    places, means = curve(episodes([10, 20, 30, 40], [1, 3, 5, 9]), "steps", grid)
    assert places.tolist() == [10, 20, 25, 40]  # before the first and after the last is nothing
    assert means.tolist() == [1, 2, 2, 7]


def test_episodes_that_end_together_count_together():
    places, means = curve(episodes([10, 10, 10], [1, 2, 6]), "steps", np.array([10.0]))
    assert places.tolist() == [10] and means.tolist() == [4]


def write(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "episodes.csv").write_text(text)
    return AgentRun(folder)


def test_columns_are_read(tmp_path):
    run = write(tmp_path, HEADER + "100,-3.5,50,1.5,1.2\n200,4,50,3.0,2.4\n")
    read = read_episodes(run)
    assert {name: column.tolist() for name, column in read.items()} == {
        "steps": [100, 200],
        "return": [-3.5, 4],
        "length": [50, 50],
        "seconds": [1.5, 3],
        "cpu_seconds": [1.2, 2.4],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "expected finished episodes, found none"),
        ("", "expected finished episodes, found none"),
        (HEADER + "100,1,50,2,2\n200,3", "expected a number for each of"),
        (HEADER + "100,x,50,2,2\n", "expected a number for each of"),
        ("a,b\n1,2\n", "expected a number for each of"),
    ],
)
def test_files_without_episodes_are_an_error(text, message, tmp_path):
    run = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_episodes(run)
    assert str(run.episodes_file) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"expected a run of agents/train.py, found no .*csv"):
        read_episodes(AgentRun(tmp_path / "nothing"))


def test_lines_are_means_over_seeds_with_their_range():
    axes = Figure().subplots()
    groups = {
        "slots": [episodes([10, 20, 30, 40], [1, 1, 1, 1]), episodes([10, 25, 40], [3, 3, 7])],
        "pixels": [episodes([20, 50], [8, 9])],
    }
    draw_curves(axes, groups, "steps")
    slots, pixels = axes.lines
    assert slots.get_label() == "slots, 2 seeds" and pixels.get_label() == "pixels"
    assert slots.get_xdata().tolist() == [10, 20, 30, 40]
    assert slots.get_ydata().tolist() == [2, 2, 2, 3]
    assert pixels.get_xdata().tolist() == [20, 30, 40, 50]
    assert pixels.get_ydata().tolist() == [8, 8, 8, 8.5]
    corners = axes.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == 1 and corners[:, 1].max() == 5


def test_seconds_are_drawn_as_minutes():
    axes = Figure().subplots()
    seen = episodes([1, 2], [1, 2]) | {"seconds": np.array([60.0, 240.0])}
    draw_curves(axes, {"slots": [seen]}, "seconds")
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert axes.get_xlabel() == "minutes"


def test_seeds_without_a_common_time_are_refused():
    groups = {"slots": [episodes([10, 20], [1, 1]), episodes([30, 40], [1, 1])]}
    with pytest.raises(ValueError, match="expected runs that overlap in steps, for slots"):
        draw_curves(Figure().subplots(), groups, "steps")


def test_a_picture_is_written(tmp_path):
    text = HEADER + "100,1,50,2,2\n200,3,50,4,4\n"
    runs = [write(tmp_path / name, text) for name in ("a", "b")]
    plot_curves({"slots": runs, "pixels": runs[:1]}, tmp_path / "curves.png", "Pong", "seconds")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width == 1200
