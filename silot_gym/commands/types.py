"""`silot-gym types --checkpoint Pong` shows the types of a game's objects."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from silot_gym.atari import make_atari, resolve_game
from silot_gym.calibration.types import types_of_episodes
from silot_gym.checkpoint import Checkpoint, folder_of
from silot_gym.object_types import FIND, ObjectTypes
from silot_gym.play.tracker import SlotTracker
from silot_gym.rollouts import RolloutStore, collect, split

SPRITES = 12
"""Sprites in a row."""
CELL, GAP, TEXT = 72, 4, 210
"""Side of a sprite's cell, space between cells, and width of a row's text, in pixels."""
AROUND = 2
"""Pixels of the frame that are shown around an object's box."""
FRAMES = 12_000
"""Frames to collect where the checkpoint doesn't say how many it was made from."""
GREY, WHITE = (60, 60, 60), (255, 255, 255)

Sprites = list[list[NDArray[np.uint8]]]
"""For each type, parts of frames, (h, w, 3) each."""


@dataclass
class Args:
    """Show the types of objects that a checkpoint knows in a picture, a row each, to name them.

    Names are given with `Checkpoint.load(...).with_names({0: "ball"}).save(...)`.
    """

    checkpoint: Path
    """A run's folder or a bundled name."""
    out: Path | None = None
    """The PNG file to write; types-<Game>.png if not given."""
    game: str | None = None
    """The game to play; the checkpoint's own if not given."""
    steps: int = 600
    """How many frames to play at random."""
    seed: int = 0
    """Of the game, of what is done in it, and of which sprites are shown."""
    find: bool = False
    """Find the types anew and write them into the checkpoint first; names are lost."""
    rollouts: Path | None = None
    """With --find, the checkpoint's rollouts; if not given, those in its folder. Where there are
    none, they are collected again with the seed that the checkpoint was made with."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Find the types if asked to, and show them."""
    if args.steps < 1 or args.seed < 0:
        raise ValueError(f"expected steps >= 1 and seed >= 0, got {args.steps} and {args.seed}")
    if args.rollouts and not args.find:
        raise ValueError("expected --find with --rollouts: without, the types stay as they are")
    checkpoint = Checkpoint.load(args.checkpoint)
    game = resolve_game(args.game or checkpoint.frames.game or "")
    out = args.out or Path(f"types-{game}.png")
    if out.suffix != ".png" or not out.parent.is_dir():
        raise ValueError(f"expected a .png file in a folder that exists, got {out}")
    if args.find:
        checkpoint = checkpoint.with_calibration(types=_found(checkpoint, args))
        checkpoint.save(folder_of(args.checkpoint))
    if checkpoint.types is None:
        raise ValueError(f"{args.checkpoint}: expected a checkpoint with types, got none: {FIND}")
    sprites = _play(checkpoint, checkpoint.types, game, args)
    contact_sheet(checkpoint.types, sprites, args.seed).save(out)
    print(f"{len(checkpoint.types)} types of objects: {out}")


def contact_sheet(types: ObjectTypes, sprites: Sprites, seed: int = 0) -> Image.Image:
    """A picture with a row for each type.

    Args:
        types: N of them.
        sprites: what was seen of each, of which some are drawn.
        seed: of that.
    """
    rng = np.random.default_rng(seed)
    width = TEXT + SPRITES * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, len(types) * (CELL + GAP) + GAP), GREY)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    total = max(1, sum(map(len, sprites)))
    for number, seen in enumerate(sprites):
        top = GAP + number * (CELL + GAP)
        share = f"{len(seen) / total:.1%} of the objects"
        lines = [
            f"{number}  {types.names[number]}",
            share,
            f"{types.max_count[number]} at once at most",
        ]
        draw.multiline_text((2 * GAP, top + GAP), "\n".join(lines), WHITE, font)
        for column, i in enumerate(rng.permutation(len(seen))[:SPRITES]):
            sheet.paste(_enlarged(seen[i]), (TEXT + column * (CELL + GAP), top))
    return sheet


def _enlarged(sprite: NDArray[np.uint8]) -> Image.Image:
    """A sprite in the middle of a cell, as large as whole pixels allow."""
    image = Image.fromarray(sprite)
    scale = max(1, CELL // max(image.size))
    image = image.resize((scale * image.width, scale * image.height), Image.Resampling.NEAREST)
    image.thumbnail((CELL, CELL), Image.Resampling.NEAREST)
    cell = Image.new("RGB", (CELL, CELL), GREY)
    cell.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return cell


def _play(checkpoint: Checkpoint, types: ObjectTypes, game: str, args: Args) -> Sprites:
    """What is seen of each type in a short random play."""
    made_for = checkpoint.frames
    env = make_atari(game, pooled=made_for.pooled, frame_skip=made_for.frame_skip)
    tracker = SlotTracker(checkpoint)
    sprites: Sprites = [[] for _ in range(len(types))]
    try:
        env.action_space.seed(args.seed)
        frame, _ = env.reset(seed=args.seed)
        for _ in tqdm(range(args.steps), "playing", disable=not args.progress):
            slots = tracker.step(frame[None])
            for slot in np.flatnonzero(slots.category[0] >= 0):
                x0, y0, x1, y1 = slots.boxes[0, slot].round().astype(int)
                rows = slice(max(0, y0 - AROUND), y1 + AROUND)
                sprite = frame[rows, max(0, x0 - AROUND) : x1 + AROUND]
                sprites[slots.category[0, slot]].append(sprite.copy())
            frame, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                frame, _ = env.reset()
                tracker.reset()
    finally:
        env.close()
    return sprites


def _found(checkpoint: Checkpoint, args: Args) -> ObjectTypes:
    """The types of objects in the validation episodes of the checkpoint's rollouts."""
    seed = int(checkpoint.origin.get("seed", args.seed))
    folder = args.rollouts or folder_of(args.checkpoint) / "rollouts"
    with tempfile.TemporaryDirectory() as temporary:
        if RolloutStore.exists(folder):
            store = RolloutStore.open(folder)
        else:
            store = _collected_again(checkpoint, seed, args.rollouts or Path(temporary), args)
        episodes = [store.episode(i) for i in split(len(store), seed)["validation"]]
    types = types_of_episodes(checkpoint, episodes, progress=args.progress)
    if types is None:
        raise ValueError(f"{args.checkpoint}: expected objects to find types of, got none")
    return types


def _collected_again(checkpoint: Checkpoint, seed: int, folder: Path, args: Args) -> RolloutStore:
    """The rollouts that the checkpoint was made from, if they were made with default settings."""
    frames = checkpoint.frames
    return collect(
        folder,
        frames.game or "",
        num_frames=int(checkpoint.origin.get("frames", FRAMES)),
        seed=seed,
        pooled=frames.pooled,
        frame_skip=frames.frame_skip,
        progress=args.progress,
    )
