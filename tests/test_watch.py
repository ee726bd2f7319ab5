import sys
from dataclasses import replace
from itertools import islice

import imageio.v3 as imageio
import numpy as np
import pytest

from silot_gym.atari import make_atari
from silot_gym.checkpoint import Checkpoint
from silot_gym.commands import watch


class AlwaysUp:
    """A policy."""

    def start(self, seed):
        self.seed = seed

    def action(self, frame):
        return 2


def test_frame_objects_and_reconstruction_stand_side_by_side(tiny_checkpoint):
    env, again = make_atari("Pong"), make_atari("Pong")
    shown = watch.pictures(Checkpoint.load(tiny_checkpoint), env, AlwaysUp(), seed=3, scale=2)
    frame, _ = again.reset(seed=3)
    for picture in islice(shown, 4):
        assert picture.shape == (420, 960, 3)
        plain, objects, seen = np.split(picture, 3, axis=1)
        assert np.array_equal(plain[::2, ::2], frame)
        frame = again.step(2)[0]
    assert not np.array_equal(plain, objects)
    assert not np.array_equal(plain, seen)


def test_without_a_display_a_file_is_written(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    monkeypatch.chdir(tmp_path)
    watch.main(watch.Args("pong", tiny_checkpoint, steps=5, scale=1, progress=False))
    assert "watch-Pong.mp4" in capsys.readouterr().out
    assert len(list(imageio.imiter("watch-Pong.mp4"))) == 5


def test_without_pygame_a_file_is_written(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert not watch._can_show()
    assert "silot_gym[watch]" in capsys.readouterr().out


def test_a_picture_shows_the_last_frame(tiny_checkpoint, tmp_path):
    args = watch.Args("pong", tiny_checkpoint, steps=3, scale=2, progress=False)
    film, picture = (replace(args, out=tmp_path / name) for name in ("a.gif", "a.png"))
    watch.main(film)
    watch.main(picture)
    last = imageio.imread(tmp_path / "a.gif", index=2)[..., :3].astype(int)
    difference = abs(last - imageio.imread(tmp_path / "a.png"))
    assert difference.mean() < 2  # a GIF has 256 colours


def test_a_window_shows_the_frames_until_it_is_closed(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert watch._can_show()
    seen = []

    def frames():
        for shade in range(10, 100, 10):
            yield np.full((20, 30, 3), shade, np.uint8)
            window = pygame.display.get_surface()
            seen.append((window.get_size(), window.get_at((29, 19))[:3]))
            if shade == 30:
                pygame.event.post(pygame.event.Event(pygame.QUIT))

    watch._show(frames(), "three greys")
    assert seen == [((30, 20), (shade,) * 3) for shade in (10, 20, 30)]
    assert not pygame.display.get_init()


def test_an_error_closes_the_window(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def frames():
        yield np.zeros((2, 3, 3), np.uint8)
        raise FloatingPointError("step 2: not finite")

    with pytest.raises(FloatingPointError, match="step 2"):
        watch._show(frames(), "broken")
    assert not pygame.display.get_init()


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
