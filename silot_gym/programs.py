"""What the command-line programs share: arguments in, one clear line out when they are wrong."""

import contextlib
import os
import platform
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

Args = TypeVar("Args")


def require(extra: str, *packages: str) -> None:
    """End the program with one line if a package is missing that an extra would install.

    Each program calls this first: from here on Ctrl-C ends it with one line, imports included.
    """
    sys.excepthook = _ends_quietly
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        print(
            f"error: this program needs {', '.join(missing)}: pip install 'silot_gym[{extra}]'",
            file=sys.stderr,
        )
        sys.exit(2)


def processor() -> str:
    """The processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def command_line() -> str:
    """The command that is running, for what it leaves behind."""
    if Path(sys.argv[0]).stem in ("silot-gym", "__main__"):
        return shlex.join(["silot-gym", *sys.argv[1:]])
    return shlex.join(["python", *sys.argv])


def run(
    main: Callable[[Args], None], args_type: type[Args], arguments: Sequence[str] | None = None
) -> None:
    """Parse the command line, or other arguments, into `args_type` and call `main` with it.

    An error that a user can mend (`ValueError`, `OSError`, `ImportError`, `RolloutError`,
    `TrainingError`, `MemoryError`) ends the program with one line on standard error and exit
    status 2, Ctrl-C with 130, SIGTERM with 143. It ends quietly, with 1, if nobody reads what it
    prints any more.
    """
    import tyro

    from silot_gym.rollouts import RolloutError
    from silot_gym.training.state import TrainingError

    args = tyro.cli(args_type, args=arguments)
    former = signal.signal(signal.SIGTERM, _terminate)
    try:
        main(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be printed would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, OSError, ImportError, RolloutError, TrainingError) as error:
        _complain(f"error: {_line(error)}")
        sys.exit(2)
    except MemoryError as error:
        _complain(f"error: there is too little memory {error}".rstrip())
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        _complain(f"\n{interrupt or 'interrupted'}")
        sys.exit(143 if isinstance(interrupt, Terminated) else 130)
    finally:
        signal.signal(signal.SIGTERM, former)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends programs as Ctrl-C does."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated("terminated")


def _complain(line: str) -> None:
    """Print to standard error, if that is still there."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(line, file=sys.stderr, flush=True)


def _line(error: Exception) -> str:
    """What an error says, in one line."""
    # Errors of the system that have no file say all there is to say in words.
    worded = isinstance(error, OSError) and error.filename is None and error.strerror
    return " ".join(str(worded or error).split())


def _ends_quietly(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Say in one line what ended a program before `run` was there to say it."""
    if issubclass(kind, KeyboardInterrupt):
        _complain("\ninterrupted")
    else:
        sys.__excepthook__(kind, error, trace)
