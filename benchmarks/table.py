"""Makes the tables of the README and of the docs from the JSON files of the other benchmarks."""

from silot_gym.programs import require

require("agents", "tabulate", "trackeval", "tyro")

# isort: split
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from silot_gym.evaluation.memory_truth import MEMORY_METRICS
from silot_gym.evaluation.protocol import METRICS, PAPER
from silot_gym.files import write_atomically
from silot_gym.programs import run

TRACKERS = ("silot_gym", "SPAIR", "SPAIR plain", "ConnComp")
REQUIRED = {"what_moves": "what moves", "all_drawn": "all that is drawn"}
LARGE_IS_BAD = ("count_error", "minutes")
SHIPPED = "as it ships"
NONE = "—"

Report = dict[str, Any]
Row = dict[str, str]


@dataclass
class Args:
    """Makes the tables of the README and of the docs from the JSON files of the other benchmarks.

    A table goes between the lines `<!-- its name -->` and `<!-- end -->`.
    """

    files: tuple[Path, ...] = (Path("README.md"), Path("docs/results.md"))
    """Files to put tables into."""
    results: Path = Path("benchmarks/results")
    """Folder of the JSON files."""


def main(args: Args) -> None:
    """Read, lay out, put in place."""
    for file in args.files:
        write_atomically(file, filled(file, args.results).encode())
        print(file)


def filled(file: Path, results: Path) -> str:
    """The text of a file with all its tables made anew.

    Raises:
        ValueError: It has no place for a table, or for one of an unknown name; or a JSON file is
            missing or damaged.
    """

    def make(match: re.Match[str]) -> str:
        name = match[1]
        if name not in TABLES:
            raise ValueError(f"{file}: expected a table of {', '.join(TABLES)}, got {name!r}")
        return f"<!-- {name} -->\n\n{TABLES[name](results)}\n\n<!-- end -->"

    text, count = re.subn(r"<!-- ([a-z ]+) -->.*?<!-- end -->", make, file.read_text(), flags=re.S)
    if not count:
        raise ValueError(f"{file}: expected the lines <!-- name of a table --> and <!-- end -->")
    return text


def read(results: Path, pattern: str, made_by: str, expected: Iterable[str]) -> list[Report]:
    """The reports whose names have a pattern.

    Raises:
        ValueError: There is none, or one is damaged.
    """
    reports = []
    for file in sorted(results.glob(pattern)):
        try:
            report = json.loads(file.read_text())
            whole = report.keys() >= {*expected}
        except (ValueError, AttributeError):
            whole = False
        if not whole:
            raise ValueError(f"{file}: expected a report with {sorted(expected)}")
        reports.append(report)
    if not reports:
        raise ValueError(f"expected {pattern} in {results}, found none: run `python {made_by}`")
    return reports


def atari(results: Path) -> dict[str, list[Report]]:
    """What `atari.py` found of each game, by seed."""
    expected = ("game", "seed", "seconds", "cpu", "threads", "paper_protocol")
    by_game = defaultdict(list)
    for report in read(results, "atari_*.json", "benchmarks/atari.py --game <Game>", expected):
        by_game[report["game"]].append(report)
    return dict(by_game)


def games(results: Path) -> str:
    """Bundled checkpoints beside connected regions, a line each."""
    (switches,) = read(results, "play_switches.json", "benchmarks/play_switches.py", ["games"])
    others = atari(results)
    rows = []
    for game, figures in sorted(switches["games"].items()):
        ours = figures[SHIPPED]
        regions = [report["memory_truth"]["what_moves"]["ConnComp"] for report in others[game]]
        row = {"game": game}
        for metric in ("F1", "MOTA", "IDF1"):
            row[metric] = f"{ours[metric]:.2f}"
            row[f"{metric}, ConnComp"] = f"{mean(r[metric] for r in regions):.2f}"
        rows.append(row)
    return markdown(rows)


def memory_truth(results: Path) -> str:
    """Trackers against the console's memory, mean and worst of several trainings."""
    rows = []
    for game, reports in atari(results).items():
        scored = [report["memory_truth"] for report in reports if "memory_truth" in report]
        for key, required in REQUIRED.items() if scored else ():
            for tracker in TRACKERS:
                found = [figures[key][tracker] for figures in scored if tracker in figures[key]]
                if found:
                    row = {"game": game, "required": required, "tracker": tracker}
                    rows.append(row | _cells(MEMORY_METRICS, found) | _runs(reports, tracker))
    return markdown(rows)


def paper_protocol(results: Path) -> str:
    """Trackers under the paper's protocol, on the paper's games."""
    rows = []
    for game, reports in atari(results).items():
        if game not in PAPER:
            continue
        for tracker in TRACKERS:
            scored = [report["paper_protocol"] for report in reports]
            found = [figures[tracker] for figures in scored if tracker in figures]
            if found:
                row = {"game": game, "tracker": tracker}
                rows.append(row | _cells(METRICS, found) | _runs(reports, tracker))
        if PAPER[game].figures:
            row = {"game": game, "tracker": "SILOT in the paper"}
            rows.append(row | _cells(METRICS, [PAPER[game].figures]))
    return markdown(rows)


def play_switches(results: Path) -> str:
    """What F1 and IDF1 lose when a step of play is switched off."""
    (report,) = read(results, "play_switches.json", "benchmarks/play_switches.py", ["games"])
    rows = []
    for switch in dict.fromkeys(name for found in report["games"].values() for name in found):
        row = {"switched off": switch}
        for game, figures in sorted(report["games"].items()):
            values = []
            for metric in ("F1", "IDF1"):
                whole = figures[SHIPPED][metric]
                change = f"{figures[switch][metric] - whole:+.3f}" if switch in figures else NONE
                values.append(f"{whole:.3f}" if switch == SHIPPED else change)
            row[game] = ", ".join(values)
        rows.append(row)
    return markdown(rows)


def ablations(results: Path) -> str:
    """What figures lose by a change of training: mean and standard error over seeds."""
    expected = ("game", "seed", "change", "what", "steps", "figures")
    reports = read(results, "ablations/*.json", "benchmarks/ablations.py", expected)
    found = {(r["game"], r["change"], r["seed"]): r["figures"] for r in reports}
    rows = []
    for change, what in {r["change"]: r["what"] for r in reports}.items():
        row = {"change": what}
        for game in sorted({r["game"] for r in reports}):
            seeds = [seed for g, c, seed in found if (g, c) == (game, change)]
            for protocol, metric in (("memory", "F1"), ("memory", "IDF1"), ("paper", "MOTA")):
                values = [found[game, change, seed][protocol][metric] for seed in seeds]
                wholes = [found[game, "default", seed][protocol][metric] for seed in seeds]
                if change == "default":
                    cell = _mean(values, "")
                else:
                    cell = _mean([a - b for a, b in zip(values, wholes, strict=True)], "+")
                row[f"{game}, {metric} ({protocol})"] = cell
        rows.append(row)
    rows.sort(key=lambda row: row["change"] != "the default settings")
    return markdown(rows)


def object_types(results: Path) -> str:
    """Types found without labels against the memory's categories."""
    (report,) = read(results, "object_types.json", "benchmarks/object_types.py", ["games"])
    rows = []
    for game, figures in report["games"].items():
        drawn = figures["all_drawn"]
        rows.append(
            {
                "game": game,
                "types": str(figures["types"]),
                "categories": str(drawn["categories"]),
                "majority": f"{drawn['majority']['purity']:.2f}",
                "purity": f"{drawn['silot_gym']['purity']:.2f}",
                "AMI": f"{drawn['silot_gym']['AMI']:.2f}",
                "k-means, AMI": f"{drawn['kmeans']['AMI']:.2f}",
                "k-means in our space, AMI": f"{drawn['kmeans_ours']['AMI']:.2f}",
            }
        )
    return markdown(rows)


def robustness(results: Path) -> str:
    """Tracking on changed frames: F1, with IDF1 in brackets."""
    (report,) = read(results, "robustness_tracking.json", "benchmarks/robustness.py", ["tracking"])
    rows = [
        {"game": game, "change": change, "F1 (IDF1)": f"{found['F1']:.2f} ({found['IDF1']:.2f})"}
        for game, changes in report["tracking"].items()
        for change, found in changes.items()
    ]
    return markdown(rows)


TABLES: Mapping[str, Callable[[Path], str]] = {
    "games": games,
    "memory truth": memory_truth,
    "paper protocol": paper_protocol,
    "play switches": play_switches,
    "ablations": ablations,
    "object types": object_types,
    "robustness": robustness,
}


def markdown(rows: Sequence[Row]) -> str:
    """A table with a dash where a row has no value."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[row.get(name, NONE) for name in names] for row in rows]
    headers = [name.replace("_", " ") for name in names]
    return str(tabulate(cells, headers, tablefmt="github", disable_numparse=True))


def _cells(metrics: Iterable[str], found: Sequence[Mapping[str, float]]) -> Row:
    """Mean and worst of each metric."""
    return {
        metric: _worst(metric, [figures[metric] for figures in found])
        for metric in metrics
        if all(metric in figures for figures in found)
    }


def _worst(metric: str, values: Sequence[float]) -> str:
    """Mean, and the worst if there are several values."""
    worst = max(values) if metric in LARGE_IS_BAD else min(values)
    return f"{mean(values):.2f}" + (f" ({worst:.2f})" if len(values) > 1 else "")


def _runs(reports: Sequence[Report], tracker: str) -> Row:
    """How many runs a row is of, and the minutes that each took, which are the model's."""
    row = {"seeds": str(len(reports))}
    totals = [r["seconds"]["total"] / 60 for r in reports if "total" in r["seconds"]]
    return row | (
        {"minutes": _worst("minutes", totals)} if totals and tracker == TRACKERS[0] else {}
    )


def _mean(values: Sequence[float], sign: str) -> str:
    """Mean and standard error."""
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{mean(values):{sign}.3f} ± {error:.3f}"


if __name__ == "__main__":
    run(main, Args)
