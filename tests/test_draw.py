import itertools
import sys

import imageio.v2 as imageio
import numpy as np
import pytest
from skimage.color import rgb2lab

from silot_gym.canvas import PALETTE, Canvas
from silot_gym.draw import SCALE, draw_objects, draw_saliency, enlarge, write_video
from silot_gym.labels import free_place

GREY = np.full((20, 30, 3), 128, np.uint8)
BOX = [5, 8, 15, 18]


def some(boxes, ids=None, presence=None, **more):
    """Objects in the form of `info["objects"]`."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    ids = range(len(boxes)) if ids is None else ids
    presence = [1] * len(boxes) if presence is None else presence
    return {
        "track_id": np.array(ids, np.int64),
        "boxes": boxes,
        "presence": np.array(presence, np.float32),
    } | {name: np.array(value) for name, value in more.items()}


def inside(picture, box, scale=SCALE):
    """The part of a picture that shows what is in a box of the frame."""
    x0, y0, x1, y1 = (scale * edge for edge in box)
    return picture[y0:y1, x0:x1]


def test_a_line_goes_around_the_box_and_hides_nothing_in_it():
    picture = draw_objects(GREY, some([BOX]))
    assert (inside(picture, BOX) == 128).all()
    middle = picture[13 * SCALE]  # a row of pixels through the box
    assert (middle[[18, 19, 60, 61]] == PALETTE[0]).all()
    assert not middle[[17, 62]].any()  # the rim
    changed = (middle != 128).any(-1)
    assert np.flatnonzero(changed).tolist() == [17, 18, 19, 60, 61, 62]
    below = picture[:, 10 * SCALE]
    assert (below[[72, 73]] == PALETTE[0]).all() and (below[75:] == 128).all()
    assert (GREY == 128).all()


def test_the_label_stands_above_the_box_in_white_on_black():
    picture = draw_objects(GREY, some([BOX], [17]))
    above = picture[: 8 * SCALE - 3, 5 * SCALE - 3 : 5 * SCALE + 20]
    assert above.max() > 200 and above.min() < 40
    other = draw_objects(GREY, some([BOX], [27]))
    differs = (picture != other).any(-1)
    assert differs[: 8 * SCALE - 3].any()


def test_names_say_the_type_if_there_is_one():
    objects = some([BOX] * 3, [17, 17, 17], category=[-1, 2, 2], name=["", "", "ship"])
    assert Canvas(GREY, objects, 1).names == ["17", "T2 #17", "ship #17"]
    assert Canvas(GREY, some([BOX], [17]), 1).names == ["17"]


def test_colours_stand_for_types_or_else_for_ids():
    def colours(**more):
        boxes = [[2, 10, 6, 14], [12, 10, 16, 14]]
        row = draw_objects(GREY, some(boxes, [4, 6], **more))[12 * SCALE]
        return [tuple(row[x * SCALE - 1].tolist()) for x in (2, 12)]

    assert colours() == [PALETTE[4], PALETTE[6]]
    assert colours(category=[3, 3]) == [PALETTE[3]] * 2
    assert colours(category=[1, 0]) == [PALETTE[1], PALETTE[0]]


def test_opacity_is_the_presence():
    full, half = (draw_objects(GREY, some([BOX], [3], [p]))[52, 18] for p in (1, 0.5))
    np.testing.assert_allclose(half, (full.astype(float) + 128) / 2, atol=2)


def test_empty_rows_are_not_drawn():
    nothing = draw_objects(GREY, some([[0] * 4] * 2, [-1, -1], [0, 0], velocity=np.ones((2, 2))))
    np.testing.assert_array_equal(nothing, enlarge(GREY))
    both = draw_objects(GREY, some([[0] * 4, BOX], [-1, 2], [0, 1]))
    np.testing.assert_array_equal(both, draw_objects(GREY, some([BOX], [2])))


@pytest.mark.parametrize(
    "box", [[0, 0, 6, 6], [24, 0, 30, 6], [0, 14, 6, 20], [24, 14, 30, 20], [29, 0, 30, 1]]
)
def test_labels_at_the_borders_are_whole_and_beside_the_object(box):
    objects = some([box], [123])
    picture = draw_objects(GREY, objects)
    centre = draw_objects(GREY, some([[12, 8, 18, 14]], [123]))
    white = (picture > 200).all(-1).sum()
    assert white == (centre > 200).all(-1).sum() > 0  # no letter is cut
    assert not (inside(picture, box) > 200).any()


@pytest.mark.parametrize("box", [[0, 0, 30, 20], [30, 20, 30, 20], [0, 5, 0, 9], [0, 0, 0, 0]])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_boxes_of_any_size_are_drawn(box, scale):
    picture = draw_objects(GREY, some([box], [123], velocity=[[-0.5, 1]]), scale)
    assert picture.shape == (20 * scale, 30 * scale, 3)
    assert (picture != 128).any()


def test_in_a_crowd_every_object_is_seen_and_has_its_label():
    """Six rows of six invaders, as far apart as in the game, with the names of their types."""
    frame = np.random.default_rng(0).integers(0, 180, (210, 160, 3), np.uint8)
    boxes = [
        [26 + 16 * column, 31 + 18 * row, 34 + 16 * column, 41 + 18 * row]
        for row, column in itertools.product(range(6), repeat=2)
    ]
    objects = some(boxes, category=[1] * 36, name=["alien"] * 36)
    picture = draw_objects(frame, objects)
    for box in boxes:
        np.testing.assert_array_equal(inside(picture, box), inside(enlarge(frame), box))
        above = [box[0], box[1] - 4, box[2], box[1] - 1]
        assert (inside(picture, above) > 200).all(-1).any()


def test_a_label_takes_the_first_free_place():
    box, size, picture = (10, 10, 20, 20), (8, 4), (40, 40)
    assert free_place(box, size, [box], picture) == (10, 6)
    assert free_place(box, size, [box, (0, 0, 40, 10)], picture) == (10, 20)
    assert free_place(box, size, [box, (0, 0, 40, 10), (0, 20, 40, 40)], picture) == (20, 10)
    assert free_place(box, size, [(0, 0, 40, 40)], picture) is None
    assert free_place((0, 0, 40, 40), size, [], picture) is None


def test_an_arrow_shows_where_the_object_is_going():
    frame = np.full((100, 100, 3), 128, np.uint8)
    box = [40, 40, 50, 50]

    def drawn(velocity):
        """What is in the object's colour outside of the line around it, (y, x) of the frame."""
        picture = draw_objects(frame, some([box], [1000], velocity=[velocity]))
        inside(picture, [39, 39, 51, 51])[:] = 0
        return np.argwhere((picture == PALETTE[1000 % 7]).all(-1)) / SCALE, picture

    right, _ = drawn([0.1, 0])
    assert (abs(right[:, 0] - 45) < 3).all()
    assert right[:, 1].min() > 50 and abs(right[:, 1].max() - 70) < 2  # two steps of ten pixels
    up, picture = drawn([0, -0.1])
    assert up[:, 0].max() < 40 and abs(up[:, 0].min() - 20) < 2
    assert (picture[51 * SCALE :] > 200).any()  # the label is below, where no arrow is
    assert len(drawn([0.005, 0.005])[0]) == 0  # half a pixel a step


VIENOT = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}
"""What linear RGB looks like without one kind of cone (Viénot, Brettel and Mollon, 1999)."""


@pytest.mark.parametrize("eyes", [np.eye(3), *VIENOT.values()], ids=["all cones", *VIENOT])
def test_colours_are_told_apart(eyes):
    linear = (np.array(PALETTE) / 255) ** 2.2
    seen = rgb2lab(np.clip(linear @ np.transpose(eyes), 0, 1) ** (1 / 2.2))
    # Two CIELAB colours that lie apart by 2.3 are just told apart side by side.
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 4 * 2.3


@pytest.mark.parametrize("size", [(210, 160), (214, 160), (31, 17)])
def test_pictures_have_the_even_size_of_a_film(size):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    picture = draw_objects(frame, some([]))
    np.testing.assert_array_equal(picture, np.kron(frame, np.ones((4, 4, 1), np.uint8)))
    shapes = picture.shape, draw_saliency(frame, some([]), np.zeros(0)).shape
    assert all(side % 2 == 0 for shape in shapes for side in shape[:2])


def test_saliency_shades_the_objects_by_their_strength():
    frame = np.full((60, 60, 3), 200, np.uint8)
    boxes = [[4, 20, 14, 30], [24, 20, 34, 30], [44, 20, 54, 30], [4, 45, 14, 55]]
    objects = some([*boxes, [0] * 4], [3, 5, 8, 9, -1])
    strength = np.array([0.1, 1.0, 0.5, 0.0, np.nan])
    picture = draw_saliency(frame, objects, strength)
    assert picture.shape == (68 * SCALE, 60 * SCALE, 3)
    weak, strong, middling, none = (
        inside(picture, box).mean((0, 1)) @ [0.2, 0.7, 0.1] for box in boxes
    )
    assert none < weak < middling < strong
    assert len(np.unique(picture[: 10 * SCALE].reshape(-1, 3), axis=0)) == 1  # dimmed
    assert picture[0, 0].max() < 200 / 2
    labelled = [
        (inside(picture, [box[0], box[1] - 4, box[2], box[1] - 1]) > 200).all(-1).any()
        for box in boxes
    ]
    assert labelled == [True, True, True, False]
    bar = picture[-1].astype(int)  # from blue to yellow
    assert bar[0, 2] > bar[0, :2].max() and bar[-1, 2] < bar[-1, :2].min()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="scale >= 1, got 0"):
        draw_objects(GREY, some([BOX]), 0)
    with pytest.raises(ValueError, match=r"strengths in \[0, 1\], got 1.5"):
        draw_saliency(GREY, some([BOX]), np.array([1.5]))
    with pytest.raises(ValueError, match=r"strengths in \[0, 1\], got nan"):
        draw_saliency(GREY, some([BOX]), np.array([np.nan]))


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
        yield GREY
        raise RuntimeError("emulator died")

    with pytest.raises(RuntimeError, match="emulator died"):
        write_video(path, broken())
    with pytest.raises(ValueError, match=r"at least one frame for film\.gif"):
        write_video(path, [])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_videos_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"end in \.mp4 or \.gif, got film\.avi"):
        write_video(tmp_path / "film.avi", [GREY])
    monkeypatch.setitem(sys.modules, "imageio.v2", None)
    with pytest.raises(ImportError, match=r'pip install "silot_gym\[train\]"'):
        write_video(tmp_path / "film.gif", [GREY])
