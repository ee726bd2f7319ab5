"""Plays with a trained agent: its mean return and, if wanted, a video with the tracked objects.

Example: python agents/evaluate.py --run runs/agent --episodes 10 --video
"""

from silot_gym.programs import require

require("agents", "ale_py", "cv2", "imageio", "stable_baselines3", "tqdm", "tyro")

# isort: split
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from tqdm import tqdm
from train import AGENT, ARGS, evaluate, make_envs, report
from train import Args as TrainArgs

from silot_gym.draw import write_video
from silot_gym.programs import run

_VIDEO_SCALE, _VIDEO_FRAMES = 3, 2_000


@dataclass(frozen=True)
class Args:
    """Evaluates an agent that `agents/train.py` made."""

    run: Path
    """Folder of the agent."""
    episodes: int = 10
    """Episodes to play."""
    video: bool = False
    """Whether to write `video.mp4`, one episode with boxes and track ids, into the folder."""
    progress: bool = True
    """Whether to show progress bars."""


def film(model: PPO, args: TrainArgs) -> Iterator[NDArray[np.uint8]]:
    """The rendered frames of one episode, enlarged."""
    envs = make_envs(args, 1, args.seed, training=False, render_mode="rgb_array")
    observations, done = envs.reset(), False
    while not done:
        frame: Any = envs.render()
        yield frame.repeat(_VIDEO_SCALE, 0).repeat(_VIDEO_SCALE, 1)
        actions, _ = model.predict(observations, deterministic=False)
        observations, _, dones, _ = envs.step(actions)
        done = bool(dones[0])
    envs.close()


def main(args: Args) -> None:
    """Evaluates an agent and films it."""
    if args.episodes < 1:
        raise ValueError(f"expected --episodes of at least 1, got {args.episodes}")
    for name in (ARGS, AGENT):
        if not (args.run / name).is_file():
            raise ValueError(f"expected a run of agents/train.py, found no {args.run / name}")
    trained = json.loads((args.run / ARGS).read_text())
    train_args = TrainArgs(**trained | {"out": args.run, "progress": args.progress}).checked()
    model = PPO.load(args.run / AGENT, device=train_args.device)
    report(evaluate(model, train_args, args.episodes), args.run)
    if args.video:
        pictures = islice(film(model, train_args), _VIDEO_FRAMES)
        write_video(args.run / "video.mp4", tqdm(pictures, "filming", disable=not args.progress))


if __name__ == "__main__":
    run(main, Args)
