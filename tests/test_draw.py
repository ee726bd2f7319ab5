import sys

import imageio.v2 as imageio
import numpy as np
import pytest

from silot_gym.draw import draw_boxes, track_colour, write_video

BLACK = np.zeros((20, 30, 3), np.uint8)


def draw(boxes, ids, presence, scale=1):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return draw_boxes(BLACK, boxes, np.array(ids), np.array(presence, np.float32), scale)


def test_outline_covers_the_edge_of_the_box():
    image = draw([[5, 8, 15, 18]], [0], [1])
    expected = np.zeros((20, 30), bool)
    expected[8:18, 5:15] = True
    expected[9:17, 6:14] = False
    below_label = np.arange(20)[:, None] >= 8
    np.testing.assert_array_equal(image.any(-1) & below_label, expected)
    assert (image[expected] == track_colour(0)).all()
    assert not BLACK.any()


def test_label_shows_the_id_above_the_box():
    image = draw([[5, 8, 15, 18]], [17], [1])
    rows = ["".join(" #"[int(p)] for p in row) for row in image.any(-1)[2:7, 5:12]]
    assert rows == [
        " #  ###",
        "##    #",
        " #    #",
        " #   # ",
        "###  # ",
    ]


def test_opacity_is_the_presence():
    full, half = draw([[5, 8, 15, 18]], [3], [1]), draw([[5, 8, 15, 18]], [3], [0.5])
    np.testing.assert_allclose(half[10, 5], full[10, 5] / 2, atol=1)


def test_colours_stay_with_the_id_and_differ():
    assert len({track_colour(i) for i in range(50)}) == 50
    moved = draw([[1, 8, 9, 16], [12, 8, 20, 16]], [4, 9], [1, 1])
    alone = draw([[12, 8, 20, 16]], [4], [1])
    np.testing.assert_array_equal(moved[12, 1], alone[12, 12])


def test_empty_rows_are_skipped():
    nan = [np.nan] * 4
    assert not draw([nan, nan], [-1, -1], [0, 0]).any()
    both, one = draw([nan, [5, 8, 15, 18]], [-1, 2], [0, 1]), draw([[5, 8, 15, 18]], [2], [1])
    np.testing.assert_array_equal(both, one)


@pytest.mark.parametrize("box", [[0, 0, 30, 20], [30, 20, 30, 20], [29, 0, 30, 1], [0, 5, 0, 9]])
def test_boxes_at_the_edge_are_drawn_as_far_as_they_go(box):
    for scale in (1, 4):
        assert draw([box], [123], [1], scale).shape == (20 * scale, 30 * scale, 3)


def test_scale_enlarges_the_frame_and_the_boxes():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, np.float32)
    image = draw_boxes(frame, *nothing, scale=3)
    np.testing.assert_array_equal(image[::3, ::3], frame)
    assert image.shape == (60, 90, 3)
    outline = draw([[5, 8, 15, 18]], [0], [1], scale=3)
    assert outline[30, 15].any() and outline[30, 44].any() and not outline[30, 16:44].any()


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_videos_are_read_back(suffix, tmp_path):
    path = tmp_path / f"film{suffix}"
    frames = [np.full((32, 48, 3), 60 * i, np.uint8) for i in range(4)]
    write_video(path, iter(frames), fps=10)
    film = imageio.mimread(path)
    assert [f.shape[:2] for f in film] == [(32, 48)] * 4
    for read, frame in zip(film, frames, strict=True):
        np.testing.assert_allclose(read[..., :3].astype(int), frame, atol=6)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_video_leaves_the_old_one(tmp_path):
    path = tmp_path / "film.gif"
    path.write_bytes(b"old")

    def broken():
        yield BLACK
        raise RuntimeError("emulator died")

    with pytest.raises(RuntimeError, match="emulator died"):
        write_video(path, broken())
    with pytest.raises(ValueError, match=r"at least one frame for film\.gif"):
        write_video(path, [])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_videos_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"end in \.mp4 or \.gif, got film\.avi"):
        write_video(tmp_path / "film.avi", [BLACK])
    monkeypatch.setitem(sys.modules, "imageio.v2", None)
    with pytest.raises(ImportError, match=r'pip install "silot_gym\[train\]"'):
        write_video(tmp_path / "film.gif", [BLACK])
