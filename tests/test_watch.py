import tkinter
from itertools import islice

import imageio.v3 as imageio
import numpy as np
import pytest

from silot_gym import watch
from silot_gym.atari import make_atari
from silot_gym.checkpoint import Checkpoint


def test_frame_objects_and_reconstruction_stand_side_by_side(tiny_checkpoint):
    env, again = make_atari("Pong"), make_atari("Pong")
    shown = watch.pictures(Checkpoint.load(tiny_checkpoint), env, seed=3, scale=2)
    again.action_space.seed(3)
    frame, _ = again.reset(seed=3)
    for picture in islice(shown, 4):
        assert picture.shape == (420, 960, 3)
        plain, objects, seen = np.split(picture, 3, axis=1)
        assert np.array_equal(plain[::2, ::2], frame)
        frame = again.step(again.action_space.sample())[0]
    assert not np.array_equal(plain, objects)
    assert not np.array_equal(plain, seen)


def test_without_a_display_a_file_is_written(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    def no_display():
        raise tkinter.TclError("no display name")

    monkeypatch.setattr(tkinter, "Tk", no_display)
    monkeypatch.chdir(tmp_path)
    watch.main(watch.Args("pong", tiny_checkpoint, steps=5, scale=1, progress=False))
    assert "watch-Pong.mp4" in capsys.readouterr().out
    assert len(list(imageio.imiter("watch-Pong.mp4"))) == 5


class Window:
    """As much of tkinter's window as is used: calls what is due, one after the other."""

    def __init__(self):
        self.due, self.open = [], True

    def title(self, text):
        self.text = text

    def after(self, milliseconds, call):
        assert milliseconds >= 0
        self.due.append(call)

    def mainloop(self):
        while self.open:
            try:
                self.due.pop(0)()
            except Exception as error:
                self.report_callback_exception(type(error), error, None)

    def destroy(self):
        self.open = False


def test_an_error_closes_the_window(monkeypatch):
    class Label:
        def __init__(self, window): ...
        def pack(self): ...
        def configure(self, image):
            shown.append(image)

    shown = []
    monkeypatch.setattr(tkinter, "Label", Label)
    monkeypatch.setattr(tkinter, "PhotoImage", lambda master, data: data)

    def frames():
        yield np.zeros((2, 3, 3), np.uint8)
        yield np.full((2, 3, 3), 65, np.uint8)
        raise FloatingPointError("step 2: not finite")

    window = Window()
    with pytest.raises(FloatingPointError, match="step 2"):
        watch._show(window, frames())
    assert shown == [b"P6 3 2 255 " + bytes(18), b"P6 3 2 255 " + b"A" * 18]
    assert not window.open


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps and scale >= 1, got 0 and 3"),
        ({"game": "Pongg"}, "closest are Pong"),
        ({"checkpoint": None}, "collect_and_train.py"),
        ({"game": "Carnival"}, "height=210, got 214"),
        ({"device": "cuda"}, "found none"),
        ({"out": "nowhere/film.mp4"}, "expected a folder for film.mp4"),
    ],
)
def test_wrong_arguments_are_refused(tiny_checkpoint, change, message, monkeypatch, tmp_path):
    monkeypatch.setattr("silot_gym.checkpoint._BUNDLED", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = {"game": "Pong", "checkpoint": tiny_checkpoint, **change}
    if "out" in change:
        arguments["out"] = tmp_path / change["out"]
    with pytest.raises(ValueError, match=message):
        watch.main(watch.Args(**arguments))
