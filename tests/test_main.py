import importlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from silot_gym import __main__, checkpoint
from silot_gym.commands import COMMANDS
from silot_gym.commands import types as contact_sheet
from silot_gym.object_types import ObjectTypes
from silot_gym.rollouts import collect


def test_without_bundled_checkpoints_it_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "_BUNDLED", tmp_path)
    __main__.main(["games"])
    assert "silot-gym pretrain --game <Game>" in capsys.readouterr().out


def test_bundled_checkpoints_are_listed_with_their_figures(
    tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(checkpoint, "_BUNDLED", tmp_path)
    measured = {"what_moves": {"F1": 0.934, "IDF1": 0.5}, "MOTA": 0.1}
    for game, figures in {"Pong": measured, "Boxing": None}.items():
        shutil.copytree(tiny_checkpoint, tmp_path / game)
        if figures is not None:
            (tmp_path / game / checkpoint.METRICS).write_text(json.dumps(figures))
    __main__.main(["games"])
    _, head, boxing, pong = capsys.readouterr().out.splitlines()
    assert head.split() == ["checkpoint", "F1", "MOTA", "IDF1", "HOTA"]
    assert boxing.split() == ["Boxing", "—", "—", "—", "—"]
    assert pong.split() == ["Pong", "0.93", "—", "0.50", "—"]
    assert checkpoint.Checkpoint.load("Pong").num_slots == 64


def test_anything_else_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main(["tpyes"])
    assert ended.value.code == 2
    expected = "error: expected one of pretrain, evaluate, .*, games, got 'tpyes'\n"
    assert re.fullmatch(expected, capsys.readouterr().err)


def test_help_names_all_commands(capsys):
    __main__.main(["--help"])
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in shown and command.about in shown
        module = importlib.import_module(f"silot_gym.commands.{name.replace('-', '_')}")
        assert callable(module.main) and module.Args.__doc__


def test_a_row_of_sprites_for_each_type():
    types = ObjectTypes(np.zeros((3, 4)), np.eye(4), np.ones(3, int), ("ball", "", "paddle"))
    red, tall = np.full((9, 9, 3), (255, 0, 0), "u1"), np.full((200, 3, 3), (0, 0, 255), "u1")
    sheet = np.asarray(contact_sheet.contact_sheet(types, [[red] * 30, [], [tall]]))
    row = contact_sheet.CELL + contact_sheet.GAP
    shown = [sheet[i * row : (i + 1) * row, contact_sheet.TEXT :] for i in range(3)]
    counts = [
        ((part == (255, 0, 0)).all(-1).sum(), (part == (0, 0, 255)).all(-1).sum()) for part in shown
    ]
    assert counts[0] == (12 * 72 * 72, 0) and counts[1] == (0, 0)
    assert counts[2][0] == 0 and 0 < counts[2][1] <= 72 * 2


def test_types_are_shown_in_a_picture_and_found_where_there_are_none(
    tiny_checkpoint, tmp_path, capsys
):
    folder, out = tmp_path / "run", tmp_path / "sheet.png"
    made = checkpoint.Checkpoint.load(tiny_checkpoint)
    origin = {"seed": 3, "frames": 30}
    frames = replace(made.frames, game="Pong", background=made.frames.background)
    replace(made.with_calibration(frames=frames), origin=origin).save(folder)
    collect(
        folder / "rollouts", "Pong", num_frames=30, seed=3, max_episode_frames=5, progress=False
    )
    before = made.model.state_dict()
    asked = ["types", "--checkpoint", str(folder), "--out", str(out), "--steps", "5"]
    asked.append("--no-progress")
    with pytest.raises(SystemExit):
        __main__.main(asked)
    assert "expected a checkpoint with types, got none" in capsys.readouterr().err
    __main__.main([*asked, "--find"])
    found = checkpoint.Checkpoint.load(folder)
    assert found.types is not None and Image.open(out).height > 70
    after = found.model.state_dict()
    assert all((value == after[name]).all() for name, value in before.items())
    assert found.frames == frames and found.origin == origin


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps >= 1"),
        ({"out": "sheet.jpg"}, "a .png file in a folder that exists, got sheet.jpg"),
        ({"out": "nowhere/sheet.png"}, "a .png file in a folder that exists"),
        ({"rollouts": "runs"}, "--find with --rollouts"),
    ],
)
def test_wrong_arguments_are_refused(typed_checkpoint, change, message):
    change = {n: contact_sheet.Path(v) if isinstance(v, str) else v for n, v in change.items()}
    with pytest.raises(ValueError, match=message):
        contact_sheet.main(contact_sheet.Args(typed_checkpoint, game="Pong", **change))
