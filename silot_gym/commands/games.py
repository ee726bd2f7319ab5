"""`silot-gym games` lists the checkpoints that come with the package."""

import json
from dataclasses import dataclass

from silot_gym.checkpoint import METRICS, bundled

FIGURES = ("F1", "MOTA", "IDF1", "HOTA")


@dataclass
class Args:
    """List the bundled checkpoints and how good they are.

    The figures are of what moves, against the console's memory, where that can be read. They come
    from benchmarks/play_switches.py.
    """


def main(args: Args) -> None:
    """Print one line for each bundled checkpoint."""
    folders = bundled()
    if not folders:
        print("no checkpoint is bundled: make one with `silot-gym pretrain --game <Game>`")
        return
    print("what moves, against the console's memory (— where that can't be read)")
    width = max(map(len, ["checkpoint", *folders]))
    print("checkpoint".ljust(width), *(name.rjust(6) for name in FIGURES))
    for name, folder in folders.items():
        file = folder / METRICS
        figures = json.loads(file.read_text()) if file.is_file() else {}
        known = figures.get("what_moves", {})
        cells = [f"{known[key]:.2f}" if key in known else "—" for key in FIGURES]
        print(name.ljust(width), *(cell.rjust(6) for cell in cells))
