"""What the command-line programs share: arguments in, one clear line out when they are wrong."""

import platform
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

Args = TypeVar("Args")


def require(extra: str, *packages: str) -> None:
    """End the program with one line if a package is missing that an extra would install."""
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


def run(
    main: Callable[[Args], None], args_type: type[Args], arguments: Sequence[str] | None = None
) -> None:
    """Parse the command line, or other arguments, into `args_type` and call `main` with it.

    An error that a user can mend (`ValueError`, `OSError`, `ImportError`, `RolloutError`,
    `TrainingError`) ends the program with one line on standard error and exit status 2, Ctrl-C
    with 130.
    """
    import tyro

    from silot_gym.rollouts import RolloutError
    from silot_gym.training.state import TrainingError

    args = tyro.cli(args_type, args=arguments)
    try:
        main(args)
    except (ValueError, OSError, ImportError, RolloutError, TrainingError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
