"""Plays with a trained agent: its return, a video with its objects, and which of them move it.

Example: python agents/evaluate.py --run agents/trained/Boxing --video
"""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from silot_gym.agents.evaluation import FINAL_SEED, describe, evaluate
from silot_gym.agents.pictures import play, saliency_picture
from silot_gym.agents.run import AgentRun
from silot_gym.device import check_device
from silot_gym.draw import write_video


@dataclass(frozen=True)
class Args:
    """Evaluates an agent that `agents/train.py` made."""

    run: Path
    """Folder of the agent."""
    episodes: int = 20
    """Games to play, with seeds that the training did not see."""
    seed: int = FINAL_SEED
    """What is added to the seed of the run for these games."""
    checkpoint: str | None = None
    """Another checkpoint than the agent was trained with, folder or bundled name."""
    json: bool = False
    """Whether to print the figures as JSON."""
    video: Path | None = None
    """An MP4 or GIF file for a game with the objects that the agent saw."""
    video_frames: int = 1_000
    """Frames of the video, at most."""
    saliency: Path | None = None
    """A PNG for the moments of a game at which single objects moved the policy most."""
    device: str = "cpu"
    """Where the networks run, as torch names it."""
    progress: bool = True
    """Whether to show progress bars."""


def main(args: Args) -> None:
    """Evaluates an agent and shows what it does."""
    check_device(args.device)
    for file in (args.video, args.saliency):
        if file is not None and not file.parent.is_dir():
            raise ValueError(f"expected a folder for {file.name}, found no {file.parent}")
    torch.set_num_threads(1)
    agent_run = AgentRun(args.run)
    figures = evaluate(
        agent_run,
        args.episodes,
        args.device,
        seed=args.seed,
        checkpoint=args.checkpoint,
        progress=args.progress,
    )
    print(json.dumps(figures, indent=2) if args.json else describe(figures))
    if args.video is None and args.saliency is None:
        return
    salient = args.saliency is not None
    game = play(agent_run, args.seed, args.device, saliency=salient)
    shown = islice(game, args.video_frames)
    moments = list(tqdm(shown, "playing", unit="frame", disable=not args.progress))
    if args.video is not None:
        pictures = (moment.picture() for moment in moments)
        bar = tqdm(pictures, "filming", len(moments), disable=not args.progress)
        write_video(args.video, bar)
    if args.saliency is not None:
        if not moments[0].objects:
            raise ValueError("expected an agent on objects for --saliency, got one on pixels")
        Image.fromarray(saliency_picture(moments)).save(args.saliency)
