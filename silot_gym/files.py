"""Files that are there whole or not at all, and folders that have one writer."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["one_writer", "read_plain", "write_atomically"]

LOCK, _UNFINISHED = ".lock", ".unfinished"


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Keeps all other processes from writing in a folder.

    The folder is made if it is missing, and goes again if nothing is written.

    The lock ends with its process, however that ends. What killed processes left half written is
    removed.

    Raises:
        BlockingIOError: Another process writes there.
        NotADirectoryError: It is something else than a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"expected a folder, got {folder}: Not a directory")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"another process is writing in {folder}: wait for it to end, or choose another folder"
        ) from None
    try:
        for leftover in folder.glob(f".*{_UNFINISHED}"):
            leftover.unlink(missing_ok=True)
        yield
    finally:
        # While it is held: who has opened it already sees that it is gone, and opens another one.
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()
        if made and not any(folder.iterdir()):
            folder.rmdir()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, even if the process is killed meanwhile.

    Raises:
        OSError: It can't be written; an older file of that name is as it was.
    """
    handle, temporary = tempfile.mkstemp(_UNFINISHED, f".{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        message = f"can't write {path}, what was saved before is kept: {error.strerror}"
        raise OSError(error.errno, message) from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_plain(path: Path, most: int) -> bytes:
    """What a file holds.

    Args:
        path: A plain file, or a link to one.
        most: Largest size in bytes that is read.

    Raises:
        OSError: It can't be read, or is something else than a plain file (a pipe, a device, a
            folder). The message is one clear line.
        ValueError: It is larger than `most`.
    """
    try:
        # A pipe without a writer would be waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no plain file")
            if status.st_size > most:
                raise ValueError(
                    f"{path}: expected a file of at most {most:,} bytes, got {status.st_size:,}"
                )
            return file.read(most)
    except OSError as error:
        # With the message alone, so that it is all that the error says of itself.
        raise type(error)(f"can't read {path}: {error.strerror}") from None
