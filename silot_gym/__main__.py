"""`python -m silot_gym` lists the checkpoints that come with the package and how good they are.

`python -m silot_gym types` shows the types of a game's objects; see `contact_sheet`.
"""

import json
import sys
from collections.abc import Sequence

from silot_gym.checkpoint import METRICS, bundled
from silot_gym.programs import require, run

FIGURES = ("MOTA", "HOTA", "IDF1", "AP", "count_error")


def main(arguments: Sequence[str] = ()) -> None:
    """Do what the first argument says, or list the bundled checkpoints."""
    if not arguments:
        _list()
    elif arguments[0] == "types":
        require("train", "ale_py", "cv2", "PIL", "sklearn", "tqdm", "tyro")
        from silot_gym import contact_sheet

        run(contact_sheet.main, contact_sheet.Args, arguments[1:])
    else:
        print(f"error: expected `types` or nothing, got {arguments[0]!r}", file=sys.stderr)
        sys.exit(2)


def _list() -> None:
    """Print one line for each bundled checkpoint."""
    folders = bundled()
    if not folders:
        print(
            "no checkpoint is bundled: make one with "
            "`python pretrain/collect_and_train.py --game <Game>`"
        )
        return
    print("held-out episodes against connected regions of one colour (a car in two colours is two)")
    width = max(map(len, folders))
    print("checkpoint".ljust(width), *(name.rjust(11) for name in FIGURES))
    for name, folder in folders.items():
        file = folder / METRICS
        figures = json.loads(file.read_text()) if file.is_file() else {}
        cells = [f"{figures[key]:.2f}" if key in figures else "—" for key in FIGURES]
        print(name.ljust(width), *(cell.rjust(11) for cell in cells))


if __name__ == "__main__":
    main(sys.argv[1:])
