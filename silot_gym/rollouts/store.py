"""Episodes on disk: a folder with one compressed file each."""

import dataclasses
import hashlib
import io
import json
import os
import re
import typing
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from silot_gym.files import read_plain, write_atomically
from silot_gym.rollouts.episode import Episode

__all__ = ["RolloutError", "RolloutInfo", "RolloutStore", "split"]

FORMAT_VERSION = 1
_INFO_FILE = "rollouts.json"
MOST_INFO = 2**20
"""Bytes of the largest `rollouts.json` that is read."""
_EPISODE_FILE = re.compile(r"episode_(\d{5,})\.npz")


class RolloutError(RuntimeError):
    """Rollouts on disk can't be read, written or continued; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class RolloutInfo:
    """How the episodes of a folder were made.

    Attributes:
        game: As in the environment's id, for example `SpaceInvaders`.
        frame_skip: Emulator frames a step.
        pooled: Whether a frame is the maximum of the last two screens.
        sticky: Probability that the emulator repeats the previous action.
        policy: What chose the actions, in words.
        seed: Decides, with an episode's number, all that happens in it.
        max_episode_frames: Longer episodes were cut here.
        frame_height: In pixels.
        frame_width: In pixels.
        versions: Version of each package that shapes the frames.
        format_version: Version of this folder's layout.
    """

    game: str
    frame_skip: int
    pooled: bool
    sticky: float
    policy: str
    seed: int
    max_episode_frames: int
    frame_height: int
    frame_width: int
    versions: dict[str, str]
    format_version: int = FORMAT_VERSION


class RolloutStore:
    """A folder with `rollouts.json` and the files `episode_00000.npz`, `episode_00001.npz`, ..."""

    def __init__(self, folder: str | Path) -> None:
        """Opens a folder of rollouts; raises RolloutError if it isn't a sound one."""
        self.folder = Path(folder)
        self.info = _read_info(self.folder / _INFO_FILE)
        self._lengths: dict[int, int] = {}  # frames of the episodes counted so far
        # What is wrong with a folder is reported now, not in the middle of a training.
        _refuse_copies([self._path(number) for number in range(len(self))])

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Returns whether a folder holds rollouts, sound or not."""
        return (Path(folder) / _INFO_FILE).exists()

    @classmethod
    def open(cls, folder: str | Path) -> "RolloutStore":
        """Opens a folder of rollouts; raises RolloutError if it isn't a sound one."""
        return cls(folder)

    @classmethod
    def create(cls, folder: str | Path, info: RolloutInfo) -> "RolloutStore":
        """Makes an empty store; raises RolloutError if the folder is used or read-only."""
        path = Path(folder) / _INFO_FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            taken = [p.name for p in path.parent.iterdir() if _EPISODE_FILE.fullmatch(p.name)]
            taken += [_INFO_FILE] * path.exists()
        except OSError as error:
            raise _write_error(path.parent, error) from error
        if taken:
            raise RolloutError(
                f"{path.parent}: expected no rollouts yet, found {taken[-1]}: choose another folder"
            )
        text = json.dumps(dataclasses.asdict(info), indent=2) + "\n"
        _write(path, text.encode())
        return cls(folder)

    def __len__(self) -> int:
        """Returns the number of episodes."""
        matches = (_EPISODE_FILE.fullmatch(name) for name in os.listdir(self.folder))
        numbers = sorted(int(match[1]) for match in matches if match)
        for expected, number in enumerate(numbers):
            if number != expected:
                raise RolloutError(
                    f"{self._path(expected)}: missing, though later episodes exist: "
                    "put it back, or delete the later ones and collect again"
                )
        return len(numbers)

    @property
    def num_frames(self) -> int:
        """Frames of all episodes together."""
        for number in range(len(self)):
            if number not in self._lengths:
                self._lengths[number] = self._read(number, "actions")[0].size
        return sum(self._lengths.values())

    def episode(self, index: int) -> Episode:
        """Loads an episode; raises RolloutError if its file is damaged."""
        number = range(len(self))[index]
        try:
            episode = Episode(*self._read(number, "frames", "palette", "actions"))
            self._check_size(episode)
        except ValueError as error:
            raise _damage_error(self._path(number), error) from error
        return episode

    def append(self, episode: Episode) -> None:
        """Writes an episode as the store's last one.

        A kill at any moment leaves either no file or the whole file.

        Raises:
            RolloutError: The file can't be written.
            ValueError: The frames have another size than the store's.
        """
        self._check_size(episode)
        number = len(self)
        arrays = {f.name: getattr(episode, f.name) for f in dataclasses.fields(episode)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        _write(self._path(number), buffer.getvalue())
        self._lengths[number] = len(episode)

    def _path(self, number: int) -> Path:
        return self.folder / f"episode_{number:05d}.npz"

    def _read(self, number: int, *names: str) -> list[NDArray[Any]]:
        path, info = self._path(number), self.info
        # Frames are by far the largest array, and hardly any of them can't be compressed.
        most = 2 * info.max_episode_frames * info.frame_height * info.frame_width + 2**20
        try:
            content = io.BytesIO(read_plain(path, most))
            with zipfile.ZipFile(content) as archive:
                if sum(member.file_size for member in archive.infolist()) > most:
                    raise ValueError(f"unpacked it would have more than {most:,} bytes")
            with np.load(content, allow_pickle=False) as arrays:
                return [arrays[name] for name in names]
        except OSError as error:
            raise RolloutError(str(error)) from error
        except MemoryError as error:
            raise RolloutError(f"{path}: there is too little memory to read it") from error
        except Exception as error:  # in a damaged file zipfile, zlib and numpy raise all kinds
            raise _damage_error(path, error) from error

    def _check_size(self, episode: Episode) -> None:
        expected = (self.info.frame_height, self.info.frame_width)
        if episode.frames.shape[1:] != expected:
            raise ValueError(f"expected frames of {expected}, got {episode.frames.shape[1:]}")


def split(num_episodes: int, seed: int) -> dict[str, list[int]]:
    """Shares whole episodes out at random: a tenth each, at least one, to validation and test.

    Returns:
        Sorted episode numbers under "train", "validation" and "test".

    Raises:
        ValueError: There are fewer than 3 episodes.
    """
    if num_episodes < 3:
        raise ValueError(f"expected at least 3 episodes to split, got {num_episodes}: collect more")
    shuffled = np.random.default_rng(seed).permutation(num_episodes).tolist()
    held_out = max(1, num_episodes // 10)
    parts = {"validation": shuffled[:held_out], "test": shuffled[held_out : 2 * held_out]}
    return {"train": sorted(shuffled[2 * held_out :])} | {k: sorted(v) for k, v in parts.items()}


def _read_info(path: Path) -> RolloutInfo:
    """Reads `rollouts.json`; raises RolloutError with what is wrong with it."""
    try:
        record = json.loads(read_plain(path, MOST_INFO))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RolloutError(f"{path}: no such file: expected a folder of rollouts") from error
    except OSError as error:
        raise RolloutError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise RolloutError(f"{path}: unreadable ({_line(error)}): collect again") from error
    version = record.get("format_version") if isinstance(record, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise RolloutError(
            f"{path}: expected format version {FORMAT_VERSION} or older, got {version}: "
            "update silot_gym"
        )
    types = {f.name: typing.get_origin(f.type) or f.type for f in dataclasses.fields(RolloutInfo)}
    if not isinstance(record, dict) or {name: type(v) for name, v in record.items()} != types:
        raise RolloutError(
            f"{path}: expected an object with {', '.join(types)}, each of its type: collect again"
        )
    return RolloutInfo(**record)


def _refuse_copies(paths: list[Path]) -> None:
    """Raises RolloutError if two files are the same: one would be trained on, and scored."""
    of_size = defaultdict(list)
    for path in paths:
        of_size[path.stat().st_size].append(path)
    for size, same in of_size.items():
        seen: dict[str, Path] = {}
        for path in same if len(same) > 1 else ():
            try:
                digest = hashlib.sha256(read_plain(path, size)).hexdigest()
            except OSError as error:
                raise RolloutError(str(error)) from error
            if digest in seen:
                raise RolloutError(
                    f"{path}: is a copy of {seen[digest].name}: delete it and all later ones, then "
                    "collect again"
                )
            seen[digest] = path


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> RolloutError:
    return RolloutError(
        f"{path}: can't be written ({_line(error)}): free some space or choose another folder"
    )


def _damage_error(path: Path, error: Exception) -> RolloutError:
    return RolloutError(
        f"{path}: expected a whole episode, found damage ({_line(error)}): "
        "delete it and all later ones, then collect again"
    )


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
