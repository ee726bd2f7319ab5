from itertools import islice

import imageio.v3 as imageio
import numpy as np
import pytest

from silot_gym import watch
from silot_gym.atari import make_atari
from silot_gym.checkpoint import Checkpoint


def test_frame_objects_and_reconstruction_stand_side_by_side(tiny_checkpoint):
    checkpoint = Checkpoint.load(tiny_checkpoint)
    shown = list(islice(watch.pictures(checkpoint, "Pong", seed=3, scale=2), 4))
    assert [picture.shape for picture in shown] == [(420, 960, 3)] * 4
    env = make_atari("Pong")
    env.action_space.seed(3)
    frame, _ = env.reset(seed=3)
    for picture in shown:
        assert np.array_equal(picture[::2, :320:2], frame)
        frame = env.step(env.action_space.sample())[0]
    plain, objects, seen = np.split(shown[-1], 3, axis=1)
    assert not np.array_equal(plain, objects)
    assert not np.array_equal(plain, seen)
    env.close()


def test_without_a_display_a_file_is_written(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.chdir(tmp_path)
    args = watch.Args("pong", tiny_checkpoint, steps=5, scale=1, progress=False)
    watch.main(args)
    assert "watch-Pong.mp4" in capsys.readouterr().out
    assert len(list(imageio.imiter("watch-Pong.mp4"))) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps and scale >= 1, got 0 and 3"),
        ({"game": "Pongg"}, "closest are Pong"),
        ({"checkpoint": None}, "collect_and_train.py"),
    ],
)
def test_wrong_arguments_are_refused(tiny_checkpoint, change, message, monkeypatch, tmp_path):
    monkeypatch.setattr("silot_gym.checkpoint._BUNDLED", tmp_path)
    arguments = {"game": "Pong", "checkpoint": tiny_checkpoint, **change}
    with pytest.raises(ValueError, match=message):
        watch.main(watch.Args(**arguments))
