"""`silot-gym watch --game Pong` shows a game, its objects, and what the model sees."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from silot_gym.atari import make_atari, resolve_game
from silot_gym.checkpoint import Checkpoint, bundled_for
from silot_gym.compatibility import check_frames, frames_of_env, rgb_size
from silot_gym.device import check_device
from silot_gym.observations import objects_info
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts.policies import Policy, RandomPolicy

FPS = 15


@dataclass
class Args:
    """Play a game and show it: the frame, the objects in it, and what the model sees.

    In a window, or in a file where there is no display.
    """

    game: str
    """Any game of ale-py, in any usual spelling."""
    checkpoint: Path | None = None
    """A run's folder or a bundled name; the checkpoint that is bundled for the game by default."""
    agent: Path | None = None
    """Run folder of an agent on slots that plays; random actions, each held for a while, if not
    given."""
    out: Path | None = None
    """A file to write in place of a window: MP4, GIF, or PNG of the last frame alone.

    watch-<Game>.mp4 where there is no display, or no pygame."""
    steps: int = 300
    """How many frames a file gets. A window stays until it is closed."""
    seed: int = 0
    """Of the game and of what is done in it."""
    scale: int = 3
    """How many times larger than the game's frames the pictures are."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model runs."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Show, or write."""
    game = resolve_game(args.game)
    if args.steps < 1 or args.scale < 1:
        raise ValueError(f"expected steps and scale >= 1, got {args.steps} and {args.scale}")
    check_device(args.device)
    checkpoint = Checkpoint.load(args.checkpoint or bundled_for(game), args.device)
    made_for = checkpoint.frames
    env = make_atari(game, pooled=made_for.pooled, frame_skip=made_for.frame_skip)
    try:
        known = frames_of_env(env)
        check_frames(made_for, known, rgb_size(env.observation_space), strict=True)
        policy: Policy = RandomPolicy(env)
        if args.agent is not None:
            from silot_gym.agents.player import AgentPlayer

            policy = AgentPlayer(args.agent, env)
        frames = pictures(checkpoint, env, policy, args.seed, args.scale)
        if args.out is None and _can_show():
            _show(frames, f"{game}: frame, objects, reconstruction")
        else:
            _write(args.out or Path(f"watch-{game}.mp4"), islice(frames, args.steps), args)
    finally:
        env.close()


def pictures(
    checkpoint: Checkpoint, env: gym.Env[Any, Any], policy: Policy, seed: int, scale: int
) -> Iterator[NDArray[np.uint8]]:
    """Frame, frame with objects, and reconstruction side by side, of play without end.

    Yields:
        (scale * height, 3 * scale * width, 3) uint8.
    """
    from silot_gym.draw import draw_objects, enlarge

    tracker = SlotTracker(checkpoint)
    frame, _ = env.reset(seed=seed)
    policy.start(seed)
    while True:
        slots = tracker.step(frame[None])
        drawn = draw_objects(frame, objects_info(slots, 0, checkpoint.types), scale)
        seen = tracker.reconstruct(frame[None])[0]
        yield np.concatenate([enlarge(frame, scale), drawn, enlarge(seen, scale)], 1)
        frame, _, terminated, truncated, _ = env.step(policy.action(frame))
        if terminated or truncated:
            frame, _ = env.reset()
            tracker.reset()
            seed += 1
            policy.start(seed)


def _write(out: Path, frames: Iterable[NDArray[np.uint8]], args: Args) -> None:
    """Write frames to a film, or the last one to a picture."""
    from PIL import Image
    from tqdm import tqdm

    from silot_gym.draw import write_video

    if not out.parent.is_dir():
        raise ValueError(f"expected a folder for {out.name}, got {out.parent}")
    print(f"writing {out}")
    bar = tqdm(frames, total=args.steps, disable=not args.progress)
    if out.suffix == ".png":
        *_, last = bar
        Image.fromarray(last).save(out)
    else:
        write_video(out, bar, FPS)


def _can_show() -> bool:
    """Whether pygame is there, and a display that it can open a window on."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it greets on stdout
    try:
        import pygame
    except ImportError:
        print('for a window: pip install "silot_gym[watch]"')
        return False
    try:
        pygame.display.init()
        return pygame.display.get_driver() != "offscreen"  # that one is never seen
    except pygame.error:
        return False
    finally:
        pygame.display.quit()


def _show(frames: Iterable[NDArray[np.uint8]], title: str) -> None:
    """Show frames in a window until it is closed."""
    import pygame

    pygame.display.init()
    pygame.display.set_caption(title)
    clock = pygame.time.Clock()
    try:
        for frame in frames:
            if pygame.event.get(pygame.QUIT):
                break
            size = frame.shape[1::-1]
            window = pygame.display.get_surface() or pygame.display.set_mode(size)
            window.blit(pygame.image.frombuffer(frame.tobytes(), size, "RGB"), (0, 0))
            pygame.display.flip()
            clock.tick(FPS)
    finally:
        pygame.display.quit()
