"""`python -m silot_gym.watch --game Pong` shows a game, its objects, and what the model sees."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from silot_gym.atari import make_atari, resolve_game
from silot_gym.checkpoint import Checkpoint, bundled_for
from silot_gym.compatibility import check_frames, frames_of_env, rgb_size
from silot_gym.device import check_device
from silot_gym.observations import objects_info
from silot_gym.programs import require, run
from silot_gym.tracker import Slots, SlotTracker

if TYPE_CHECKING:
    import tkinter

FPS = 15
Policy = Callable[[NDArray[np.uint8], Slots], Any]
"""Chooses an action after a frame (H, W, 3), whose slots have one lane."""


@dataclass
class Args:
    """Play a game at random and show it: the frame, the objects in it, and what the model sees.

    In a window, or in a file where there is no display.
    """

    game: str
    """Any game of ale-py, in any usual spelling."""
    checkpoint: Path | None = None
    """A run's folder or a bundled name; the checkpoint that is bundled for the game by default."""
    out: Path | None = None
    """An MP4 or GIF file to write in place of a window; watch-<Game>.mp4 where there is none."""
    steps: int = 300
    """How many frames a file gets. A window stays until it is closed."""
    seed: int = 0
    """Of the game and of what is done in it."""
    scale: int = 4
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
        env.action_space.seed(args.seed)

        def at_random(frame: NDArray[np.uint8], slots: Slots) -> Any:
            return env.action_space.sample()

        frames = pictures(checkpoint, env, at_random, args.seed, args.scale)
        window = None if args.out else _window(f"{game}: frame, objects, reconstruction")
        if window is None:
            _write(args.out or Path(f"watch-{game}.mp4"), islice(frames, args.steps), args)
        else:
            _show(window, frames)
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
    while True:
        slots = tracker.step(frame[None])
        drawn = draw_objects(frame, objects_info(slots, 0), scale)
        seen = tracker.reconstruct(frame[None])[0]
        yield np.concatenate([enlarge(frame, scale), drawn, enlarge(seen, scale)], 1)
        frame, _, terminated, truncated, _ = env.step(policy(frame, slots))
        if terminated or truncated:
            frame, _ = env.reset()
            tracker.reset()


def _write(out: Path, frames: Iterable[NDArray[np.uint8]], args: Args) -> None:
    """Write frames to a file."""
    from tqdm import tqdm

    from silot_gym.draw import write_video

    if not out.parent.is_dir():
        raise ValueError(f"expected a folder for {out.name}, got {out.parent}")
    print(f"writing {out}")
    bar = tqdm(frames, total=args.steps, disable=not args.progress)
    write_video(out, bar, FPS)


def _window(title: str) -> "tkinter.Tk | None":
    """A window; None where there is no display."""
    try:
        import tkinter
    except ImportError:
        return None
    try:
        window = tkinter.Tk()
    except tkinter.TclError:
        return None
    window.title(title)
    return window


def _show(window: "tkinter.Tk", frames: Iterator[NDArray[np.uint8]]) -> None:
    """Show frames until the window is closed."""
    import tkinter

    label = tkinter.Label(window)
    label.pack()
    errors: list[BaseException] = []

    def update() -> None:
        due = time.monotonic() + 1 / FPS
        frame = next(frames)
        header = f"P6 {frame.shape[1]} {frame.shape[0]} 255 ".encode()
        image = tkinter.PhotoImage(master=window, data=header + frame.tobytes())
        label.configure(image=image)
        label.image = image  # type: ignore[attr-defined]  # lest it is collected
        window.after(max(1, round(1000 * (due - time.monotonic()))), update)

    def fail(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        errors.append(error)
        window.destroy()

    # Otherwise an error would be printed and the window stay, with its last frame.
    window.report_callback_exception = fail
    window.after(0, update)
    window.mainloop()
    if errors:
        raise errors[0]


if __name__ == "__main__":
    require("train", "ale_py", "cv2", "imageio", "PIL", "tqdm", "tyro")
    run(main, Args)
