import json
import shutil

from silot_gym import __main__, checkpoint


def test_without_bundled_checkpoints_it_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "_BUNDLED", tmp_path)
    __main__.main()
    assert "collect_and_train.py --game <Game>" in capsys.readouterr().out


def test_bundled_checkpoints_are_listed_with_their_figures(
    tiny_checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(checkpoint, "_BUNDLED", tmp_path)
    for game, figures in {"Pong": {"MOTA": 0.934, "AP": 0.5}, "Boxing": None}.items():
        shutil.copytree(tiny_checkpoint, tmp_path / game)
        if figures is not None:
            (tmp_path / game / checkpoint.METRICS).write_text(json.dumps(figures))
    __main__.main()
    _, head, boxing, pong = capsys.readouterr().out.splitlines()
    assert head.split() == ["checkpoint", "MOTA", "HOTA", "IDF1", "AP", "count_error"]
    assert boxing.split() == ["Boxing", "—", "—", "—", "—", "—"]
    assert pong.split() == ["Pong", "0.93", "—", "—", "0.50", "—"]
    assert checkpoint.Checkpoint.load("Pong").num_slots == 64
