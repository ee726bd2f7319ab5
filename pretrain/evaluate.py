"""Score a checkpoint on held-out episodes, and show what it sees or predicts."""

from silot_gym.programs import require

require("train", "imageio", "tqdm", "trackeval", "tyro")

# isort: split
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from silot_gym.checkpoint import Checkpoint
from silot_gym.draw import write_video
from silot_gym.evaluation.held_out import overlay, paper_protocol, summary
from silot_gym.evaluation.protocol import format_table
from silot_gym.files import write_atomically
from silot_gym.programs import run
from silot_gym.rollouts import RolloutStore, split


@dataclass
class Args:
    """Score a checkpoint on held-out episodes, and show what it sees or predicts."""

    checkpoint: Path
    """A run's folder, or the name of a bundled checkpoint."""
    rollouts: Path | None = None
    """Folder of rollouts; those of the run if not given. Its test episodes are scored."""
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
    store = RolloutStore.open(args.rollouts or args.checkpoint / "rollouts")
    seed = checkpoint.origin.get("seed", 0) if args.seed is None else args.seed
    episodes = [store.episode(i) for i in split(len(store), seed)["test"]]
    figures = paper_protocol(checkpoint, episodes, num_clips=args.clips, progress=args.progress)
    game = store.info.game
    if args.out is not None:
        command = f"python {shlex.join(sys.argv)}"
        report = {"command": command, "protocol": args.protocol, "game": game, **summary(figures)}
        write_atomically(args.out, (json.dumps(report, indent=2) + "\n").encode())
    if args.video is not None:
        longest = max(episodes, key=len)
        pictures = overlay(
            checkpoint, longest, length=args.video_frames, unseen_from=args.unseen_from
        )
        write_video(args.video, tqdm(pictures, "filming", disable=not args.progress))
    print(format_table([(game, "silot_gym", figures)]))


if __name__ == "__main__":
    run(main, Args)
