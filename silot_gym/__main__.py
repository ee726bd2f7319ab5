"""`python -m silot_gym` lists the checkpoints that come with the package and how good they are."""

import json

from silot_gym.checkpoint import METRICS, bundled

FIGURES = ("MOTA", "HOTA", "IDF1", "AP", "count_error")


def main() -> None:
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
    main()
