import dataclasses
import itertools
import json
import os
import re
import shutil

import numpy as np
import pytest

from silot_gym.rollouts import (
    RESET_ACTION,
    Episode,
    RolloutError,
    RolloutInfo,
    RolloutStore,
    split,
)

INFO = RolloutInfo(
    game="Pong",
    frame_skip=4,
    pooled=True,
    sticky=0.25,
    policy="none",
    seed=0,
    max_episode_frames=100,
    frame_height=12,
    frame_width=10,
    versions={"ale-py": "0"},
)


def make_episode(num_frames=5, seed=0, num_colours=4):
    rng = np.random.default_rng(seed)
    return Episode(
        frames=rng.integers(num_colours, size=(num_frames, 12, 10)).astype(np.uint8),
        palette=rng.integers(256, size=(num_colours, 3)).astype(np.uint8),
        actions=np.array([RESET_ACTION, *range(num_frames - 1)], np.int64),
    )


def assert_same(one, other):
    for field in dataclasses.fields(Episode):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.dtype == b.dtype and np.array_equal(a, b)


def assert_one_line(caught):
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)


@pytest.fixture
def store(tmp_path):
    store = RolloutStore.create(tmp_path / "rollouts", INFO)
    for number in range(3):
        store.append(make_episode(num_frames=5 + number, seed=number))
    return store


class TestStore:
    def test_episodes_and_info_come_back(self, store):
        reopened = RolloutStore.open(store.folder)
        assert reopened.info == INFO
        assert len(reopened) == 3
        assert reopened.num_frames == store.num_frames == 5 + 6 + 7
        for number in range(3):
            assert_same(reopened.episode(number), make_episode(5 + number, seed=number))
        with pytest.raises(IndexError):
            reopened.episode(3)

    def test_empty_store(self, tmp_path):
        store = RolloutStore.create(tmp_path, INFO)
        assert (len(store), store.num_frames) == (0, 0)

    def test_frames_of_another_size_are_refused(self, store):
        with pytest.raises(ValueError, match=re.escape("(12, 10)")):
            episode = make_episode()
            store.append(dataclasses.replace(episode, frames=episode.frames.swapaxes(1, 2)))
        assert len(store) == 3

    def test_kill_before_the_rename_leaves_no_episode(self, store, monkeypatch):
        def kill(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill)
            with pytest.raises(KeyboardInterrupt):
                store.append(make_episode(seed=3))
        reopened = RolloutStore.open(store.folder)
        assert len(reopened) == 3 and reopened.num_frames == 18
        reopened.append(make_episode(seed=4))
        assert_same(reopened.episode(3), make_episode(seed=4))

    def test_full_disk_leaves_no_trace(self, store, monkeypatch):
        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RolloutError, match=r"No space left on device.*free some space"):
            store.append(make_episode())
        assert len(store) == 3
        assert len(list(store.folder.iterdir())) == 4


class TestDamage:
    @pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
    def test_truncated_episode(self, store, kept):
        path = store.folder / "episode_00001.npz"
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(RolloutError, match=r"episode_00001\.npz.*damage") as caught:
            store.episode(1)
        assert_one_line(caught)
        with pytest.raises(RolloutError, match=r"episode_00001\.npz"):
            _ = RolloutStore.open(store.folder).num_frames
        store.episode(0)

    def test_changed_bytes_never_give_other_frames(self, store):
        path = store.folder / "episode_00001.npz"
        content = path.read_bytes()
        whole = store.episode(1)
        found = 0
        for position in np.random.default_rng(0).permutation(len(content))[:150]:
            damaged = bytearray(content)
            damaged[position] ^= 1 + position % 255
            path.write_bytes(damaged)
            try:
                assert_same(store.episode(1), whole)  # a byte that means nothing, as in a date
            except RolloutError:
                found += 1
        assert found > 100

    @pytest.mark.parametrize(
        ("name", "array"),
        [
            ("frames", np.zeros((2, 12, 10), np.float32)),
            ("frames", np.full((2, 12, 10), 9, np.uint8)),
            ("frames", np.zeros((2, 10, 12), np.uint8)),
            ("actions", np.zeros(3, np.int64)),
            ("palette", np.array([{}, {}])),  # objects would need pickle
            ("palette", None),
        ],
    )
    def test_wrong_contents(self, store, name, array):
        contents = {
            "frames": np.zeros((2, 12, 10), np.uint8),
            "palette": np.zeros((1, 3), np.uint8),
            "actions": np.zeros(2, np.int64),
        }
        np.savez_compressed(store.folder / "episode_00000.npz", **contents)
        store.episode(0)
        del contents[name]
        if array is not None:
            contents[name] = array
        np.savez_compressed(store.folder / "episode_00000.npz", **contents)
        with pytest.raises(RolloutError, match=r"episode_00000\.npz.*delete") as caught:
            store.episode(0)
        assert_one_line(caught)

    def test_copies_are_refused(self, store):
        shutil.copy(store.folder / "episode_00000.npz", store.folder / "episode_00003.npz")
        with pytest.raises(RolloutError, match=r"episode_00003.npz: is a copy of episode_00000"):
            RolloutStore.open(store.folder)

    def test_a_bomb_is_not_unpacked(self, store):
        path = store.folder / "episode_00000.npz"
        contents = {
            "frames": np.zeros((10**5, 12, 10), np.uint8),
            "palette": np.zeros((1, 3), np.uint8),
            "actions": np.zeros(10**5, np.int64),
        }
        np.savez_compressed(path, **contents)
        assert path.stat().st_size < 10**5
        with pytest.raises(RolloutError, match=r"unpacked it would have more than"):
            store.episode(0)

    def test_what_is_no_file_is_not_waited_for(self, store):
        path = store.folder / "episode_00000.npz"
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(RolloutError, match=r"it is no plain file") as caught:
            store.episode(0)
        assert "delete" not in str(caught.value)

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (PermissionError(13, "Permission denied"), "can't read .*: Permission denied"),
            (MemoryError(), "too little memory"),
        ],
    )
    def test_sound_files_are_not_called_damaged(self, store, monkeypatch, error, message):
        def fail(*_):
            raise error

        monkeypatch.setattr(os, "open", fail)
        with pytest.raises(RolloutError, match=message) as caught:
            store.episode(0)
        assert "delete" not in str(caught.value)

    def test_gap_is_named(self, store):
        (store.folder / "episode_00001.npz").unlink()
        for use in (lambda: RolloutStore.open(store.folder), lambda: store.append(make_episode())):
            with pytest.raises(RolloutError, match=r"episode_00001\.npz: missing"):
                use()

    def test_missing_folder(self, tmp_path):
        with pytest.raises(RolloutError, match="no such file") as caught:
            RolloutStore.open(tmp_path / "nothing")
        assert_one_line(caught)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '"x"', "\xff"])
    def test_unreadable_info(self, store, text):
        (store.folder / "rollouts.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RolloutError, match=r"rollouts\.json.*collect again") as caught:
            RolloutStore.open(store.folder)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format_version": 2, "new": 1}, "expected format version 1.*got 2.*update"),
            ({"frame_height": "12"}, "each of its type"),
            ({"new": 1}, "each of its type"),
        ],
    )
    def test_info_of_another_kind(self, store, changes, message):
        path = store.folder / "rollouts.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        with pytest.raises(RolloutError, match=message):
            RolloutStore.open(store.folder)

    def test_create_keeps_what_is_there(self, store):
        with pytest.raises(RolloutError, match=r"found rollouts\.json.*another folder"):
            RolloutStore.create(store.folder, INFO)
        (store.folder / "rollouts.json").unlink()
        with pytest.raises(RolloutError, match="found episode_"):
            RolloutStore.create(store.folder, INFO)

    def test_unwritable_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(RolloutError, match="can't be written"):
            RolloutStore.create(tmp_path / "file" / "rollouts", INFO)


class TestSplit:
    @pytest.mark.parametrize("num_episodes", [3, 4, 9, 10, 27, 100])
    def test_shares_every_episode_once(self, num_episodes):
        parts = split(num_episodes, seed=0)
        assert list(parts) == ["train", "validation", "test"]
        assert sorted(itertools.chain(*parts.values())) == list(range(num_episodes))
        held_out = max(1, num_episodes // 10)
        assert len(parts["validation"]) == len(parts["test"]) == held_out

    def test_seed_decides(self):
        assert split(50, seed=1) == split(50, seed=1)
        assert split(50, seed=1) != split(50, seed=2)

    def test_too_few_episodes(self):
        with pytest.raises(ValueError, match=r"at least 3 episodes.*got 2"):
            split(2, seed=0)
