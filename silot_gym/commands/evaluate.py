"""Score a checkpoint on held-out episodes, and show what it sees or predicts."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from silot_gym.checkpoint import Checkpoint
from silot_gym.draw import write_video
from silot_gym.evaluation.held_out import overlay, paper_protocol, summary
from silot_gym.evaluation.protocol import format_table
from silot_gym.files import write_atomically
from silot_gym.programs import command_line
from silot_gym.rollouts import Episode, RolloutStore, collect, split

FRESH_FRAMES, FRESH_SEED = 2_000, 10_000
"""What is collected where a checkpoint comes without rollouts."""


@dataclass
class Args:
    """Score a checkpoint on held-out episodes, and show what it sees or predicts."""

    checkpoint: Path
    """A run's folder, or the name of a bundled checkpoint."""
    rollouts: Path | None = None
    """Folder of rollouts, whose test episodes are scored; those of the run if not given. Where a
    run has none (a bundled checkpoint), some are collected for the moment."""
    protocol: Literal["paper"] = "paper"
    """Clips of 8 frames against connected components, as in the paper."""
    clips: int = 128
    """Clips to score."""
    out: Path | None = None
    """File for the figures, as JSON."""
    video: Path | None = None
    """File (.mp4 or .gif) for a held-out episode: boxes beside the reconstruction."""
    video_frames: int = 120
    """Length of the video."""
    unseen_from: int | None = None
    """In the video, the first frame that the learned prior predicts without seeing it."""
    seed: int | None = None
    """Of the split into training and test episodes; the run's if not given."""
    progress: bool = True
    """Whether to show progress bars."""


def main(args: Args) -> None:
    """Load, score, show."""
    for name, value in (("--clips", args.clips), ("--video-frames", args.video_frames)):
        if value < 1:
            raise ValueError(f"expected {name} of 1 or more, got {value}")
    if args.unseen_from is not None and args.unseen_from < 1:
        raise ValueError(f"expected --unseen-from of 1 or more, got {args.unseen_from}")
    checkpoint = Checkpoint.load(args.checkpoint)
    assert checkpoint.folder is not None  # it was loaded
    rollouts = args.rollouts or checkpoint.folder / "rollouts"
    if args.rollouts is None and not rollouts.exists():
        episodes, game = _fresh(checkpoint, args.progress), checkpoint.frames.game or ""
    else:
        store = RolloutStore.open(rollouts)
        seed = checkpoint.origin.get("seed", 0) if args.seed is None else args.seed
        episodes = [store.episode(i) for i in split(len(store), seed)["test"]]
        game = store.info.game
    figures = paper_protocol(checkpoint, episodes, num_clips=args.clips, progress=args.progress)
    if args.out is not None:
        report = {
            "command": command_line(),
            "protocol": args.protocol,
            "game": game,
            **summary(figures),
        }
        write_atomically(args.out, (json.dumps(report, indent=2) + "\n").encode())
    if args.video is not None:
        longest = max(episodes, key=len)
        pictures = overlay(
            checkpoint, longest, length=args.video_frames, unseen_from=args.unseen_from
        )
        write_video(args.video, tqdm(pictures, "filming", disable=not args.progress))
    print(format_table([(game, "silot_gym", figures)]))


def _fresh(checkpoint: Checkpoint, progress: bool) -> list[Episode]:
    """Episodes of a checkpoint's game that no training has seen."""
    frames = checkpoint.frames
    if frames.game is None:
        raise ValueError("expected --rollouts: the checkpoint is made for no game of ale-py")
    with tempfile.TemporaryDirectory() as folder:
        store = collect(
            folder,
            frames.game,
            num_frames=FRESH_FRAMES,
            seed=FRESH_SEED,
            pooled=frames.pooled,
            frame_skip=frames.frame_skip,
            progress=progress,
        )
        return [store.episode(number) for number in range(len(store))]
