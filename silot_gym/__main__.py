"""`silot-gym`, which is `python -m silot_gym`: pretraining, agents, and what comes with it."""

import sys
from collections.abc import Sequence

from silot_gym.commands import COMMANDS, run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the first argument says."""
    name, *others = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in COMMANDS:
        run_command(name, others)
    elif name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: silot-gym COMMAND [OPTIONS], silot-gym COMMAND --help\n")
        for known, command in COMMANDS.items():
            print(f"  {known.ljust(width)}  {command.about}")
    else:
        print(f"error: expected one of {', '.join(COMMANDS)}, got {name!r}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
