"""Make the README's tables from the JSON files that `atari.py` and `ablations.py` write."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silot_gym.checkpoint import write_atomically
from silot_gym.evaluation.memory_truth import MEMORY_METRICS
from silot_gym.evaluation.protocol import METRICS, PAPER
from silot_gym.programs import require, run

START, END = "<!-- atari table -->", "<!-- end of atari table -->"
TRACKERS = ("silot_gym", "SPAIR", "ConnComp")
REQUIRED = {"what_moves": "what moves", "all_drawn": "all that is drawn"}
LARGE_IS_BAD = ("count_error", "minutes")
NONE = "—"
RUNS = ("seeds", "minutes")
EXPECTED = {"game", "seed", "seconds", "cpu", "threads", "paper_protocol"}

ABLATIONS = "ablation_*.json"
EXPECTED_OF_ABLATIONS = {"game", "seed", "change", "what", "seconds_to_enough", "figures", "curve"}

Report = dict[str, Any]


@dataclass
class Args:
    """Make the README's tables from the JSON files that `atari.py` and `ablations.py` write."""

    results: Path = Path("benchmarks/results")
    """Folder of the files atari_<Game>_<seed>.json and ablation_<Game>_<change>_<seed>.json."""
    readme: Path | None = None
    """A file to put the table into, between the lines `<!-- atari table -->` and
    `<!-- end of atari table -->`."""


def main(args: Args) -> None:
    """Read, lay out, print, put in place."""
    table = layout(read_reports(args.results, "atari_*.json", EXPECTED))
    if any(args.results.glob(ABLATIONS)):
        table += "\n\n" + ablations(read_reports(args.results, ABLATIONS, EXPECTED_OF_ABLATIONS))
    print(table)
    if args.readme is not None:
        write_atomically(args.readme, insert(args.readme, table).encode())


def read_reports(folder: Path, pattern: str, expected: set[str]) -> list[Report]:
    """The reports of a folder, by game and seed.

    Raises:
        ValueError: There is none, or one is damaged.
    """
    reports = []
    for file in sorted(folder.glob(pattern)):
        try:
            report = json.loads(file.read_text())
            whole = report.keys() >= expected
        except (ValueError, AttributeError):
            whole = False
        if not whole:
            raise ValueError(f"{file}: expected a report with {sorted(expected)}")
        reports.append(report)
    if not reports:
        raise ValueError(
            f"expected {pattern} in {folder}, found none: make them with "
            "`python benchmarks/atari.py --game <Game> --seed <number>`"
        )
    return sorted(reports, key=lambda report: (report["game"], report["seed"]))


def layout(reports: Sequence[Report]) -> str:
    """Both tables in Markdown, with how they were made."""
    games = {
        game: [report for report in reports if report["game"] == game]
        for game in dict.fromkeys(report["game"] for report in reports)
    }
    paper = [row for game in games if game in PAPER for row in _paper_rows(game, games[game])]
    memory = [row for game, seeds in games.items() for row in _memory_rows(game, seeds)]
    parts = [
        "Mean over seeds, and in brackets the worst of them; minutes are wall-clock for collection,"
        " training and scoring. SPAIR is discovery alone with the same weights, frame by frame,"
        " linked by the Hungarian algorithm. ConnComp links connected regions, of one colour or of"
        " any, whichever does better. Where frames have a background, both see them without what"
        " play leaves out.",
        "Paper's protocol, clips of 8 held-out frames:",
        _markdown(("game", "tracker", *RUNS, *METRICS), paper),
    ]
    if memory:
        parts += [
            "Truth from the console's memory, 8 sequences of 64 frames"
            " ([what counts](benchmarks/data/README.md)):",
            _markdown(("game", "required", "tracker", *RUNS, *MEMORY_METRICS), memory),
        ]
    machines = dict.fromkeys(_machine(report) for report in reports)
    seeds = dict.fromkeys(str(seed) for seed in sorted({report["seed"] for report in reports}))
    parts.append(
        f"Made by `python benchmarks/atari.py --game <Game> --seed <seed>`, seeds "
        f"{', '.join(seeds)}, on {'; '.join(machines)}."
    )
    return "\n\n".join(parts)


def ablations(reports: Sequence[Report]) -> str:
    """The table of ablations in Markdown, with how they were made."""
    rows = []
    for report in sorted(reports, key=lambda report: report["change"] != "default"):
        enough, figures = report["seconds_to_enough"], report["figures"]
        cells = [_cell(metric, [figures]) for metric in METRICS]
        minutes = NONE if enough is None else f"{enough / 60:.1f}"
        rows.append((report["game"], report["what"], str(figures["step"]), minutes, *cells))
    heading = ("game", "what was changed", "updates", "minutes to MOTA .80", *METRICS)
    return "\n\n".join(
        [
            "What each setting is worth, on validation episodes under the paper's protocol, one"
            " training each; minutes of training only:",
            _markdown(heading, sorted(rows, key=lambda row: row[0])),
            "Made by `python benchmarks/ablations.py --run runs/benchmark-<Game>-0`.",
        ]
    )


def insert(readme: Path, table: str) -> str:
    """The text of a file with the table between its markers.

    Raises:
        ValueError: It does not have both markers, in order.
    """
    before, start, rest = readme.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{readme}: expected the lines {START} and {END}")
    return f"{before}{START}\n\n{table}\n\n{END}{after}"


def _paper_rows(game: str, seeds: Sequence[Report]) -> Iterable[Sequence[str]]:
    for tracker in TRACKERS:
        found = [report["paper_protocol"].get(tracker, {}) for report in seeds]
        cells = [_cell(metric, found) for metric in METRICS]
        yield game, tracker, *_runs(seeds, tracker), *cells
    if PAPER[game].figures:
        cells = [_cell(metric, [PAPER[game].figures]) for metric in METRICS]
        yield game, "SILOT in the paper", NONE, NONE, *cells


def _memory_rows(game: str, seeds: Sequence[Report]) -> Iterable[Sequence[str]]:
    scored = [report["memory_truth"] for report in seeds if "memory_truth" in report]
    for key, required in REQUIRED.items() if scored else ():
        for tracker in TRACKERS:
            found = [figures.get(key, {}).get(tracker, {}) for figures in scored]
            cells = [_cell(metric, found) for metric in MEMORY_METRICS]
            yield game, required, tracker, *_runs(seeds, tracker), *cells


def _runs(seeds: Sequence[Report], tracker: str) -> tuple[str, str]:
    """How many runs a row is of, and the minutes that each took, which are the model's."""
    totals = [{"minutes": r["seconds"]["total"] / 60} for r in seeds if "total" in r["seconds"]]
    return str(len(seeds)), _cell("minutes", totals if tracker == "silot_gym" else [])


def _cell(metric: str, found: Iterable[Mapping[str, float]]) -> str:
    """Mean and worst of a metric, the worst only if there are several values."""
    values = [figures[metric] for figures in found if metric in figures]
    if not values:
        return NONE
    worst = max(values) if metric in LARGE_IS_BAD else min(values)
    mean = f"{sum(values) / len(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({worst:.2f})"


def _machine(report: Report) -> str:
    threads = report["threads"]
    cpu = f"{report['cpu']}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{report['gpu']} with {cpu}" if report.get("gpu") else cpu


def _markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = [name.replace("_", " ") for name in heading]
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    require("train", "tyro")
    run(main, Args)
