"""What each step of play is worth: the bundled checkpoints with one of them switched off."""

from silot_gym.programs import require

require("agents", "tabulate", "tqdm", "trackeval", "tyro")

# isort: split
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from silot_gym.checkpoint import Checkpoint
from silot_gym.evaluation.held_out import summary
from silot_gym.evaluation.memory_truth import MEMORY_GAMES, load_memory_truth, score_memory
from silot_gym.evaluation.trackers import slot_tracks
from silot_gym.files import write_atomically
from silot_gym.play.config import PlayConfig
from silot_gym.programs import processor, run

SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "as it ships": {},
    "HUD not ignored": {"ignore_hud": False},
    "static objects not ignored": {"ignore_static": False},
    "background not learned in play": {"online_background": False},
    "discovery everywhere, with top-down attention": {"skip_explained": False},
    "boxes not fitted": {"fit_boxes": False},
    "all parts in a box count": {"part_share": 0.0},
    "duplicates kept": {"duplicate_iou": None},
    "fragments kept": {"fragment_overlap": None},
    "what only touches an object kept": {"fragment_size": 0.001},
    "lost objects not relinked": {"relink_distance": None},
    "presence from .5 on": {"presence_threshold": 0.5},
    "plain: all of these": asdict(PlayConfig.plain()),
}


@dataclass(frozen=True)
class Args:
    """Score bundled checkpoints with one step of play after the other switched off.

    Figures are of what moves, against the console's memory. Writes `play_switches.json`; figures
    that are in the file already, of other games or switches, stay there.
    """

    games: tuple[str, ...] = MEMORY_GAMES
    """Games with a bundled checkpoint and memory truth."""
    switches: tuple[str, ...] = tuple(SWITCHES)
    """What to switch off."""
    truth: Path = Path("benchmarks/data")
    """Folder of memory truth."""
    out: Path = Path("benchmarks/results/play_switches.json")
    """The file to write."""
    progress: bool = True
    """Whether to show a progress bar."""


def main(args: Args) -> None:
    """Score, write, print."""
    unknown = sorted({*args.switches} - SWITCHES.keys())
    if unknown:
        raise ValueError(f"expected --switches of {tuple(SWITCHES)}, got {unknown}")
    report: dict[str, Any] = {"games": {}}
    if args.out.exists():
        report = json.loads(args.out.read_text())
    for game in args.games:
        truth = load_memory_truth(args.truth / f"{game}.npz")
        checkpoint = Checkpoint.load(game)
        frames = list(truth.rgb())
        for switch in tqdm(args.switches, game, disable=not args.progress):
            changed = replace(checkpoint, play=replace(checkpoint.play, **SWITCHES[switch]))
            tracks = slot_tracks(changed, frames)
            figures = summary(score_memory(truth.what_moves, tracks))
            report["games"].setdefault(game, {})[switch] = figures
            packages = ("silot_gym", "torch", "numpy")
            report |= {
                "command": f"python {shlex.join(sys.argv)}",
                "cpu": processor(),
                "versions": {package: version(package) for package in packages},
            }
            write_atomically(args.out, (json.dumps(report, indent=1) + "\n").encode())
    print(table(report))


def table(report: Mapping[str, Any]) -> str:
    """What each figure loses by a switch, a line for each switch and figure, in Markdown."""
    games = report["games"]
    lines = []
    for switch in SWITCHES:
        for metric in ("F1", "IDF1"):
            line: dict[str, str] = {"switched off": switch, "": metric}
            for game, figures in games.items():
                own, whole = (figures.get(name, {}).get(metric) for name in (switch, "as it ships"))
                if own is None or whole is None:
                    line[game] = "—"
                else:
                    line[game] = f"{own:.3f}" if switch == "as it ships" else f"{own - whole:+.3f}"
            lines.append(line)
    return str(tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    run(main, Args)
