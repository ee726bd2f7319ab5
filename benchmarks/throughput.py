"""How fast slots come: milliseconds a frame and lane, stage by stage, and steps of an agent."""

from silot_gym.programs import require

require("agents", "ale_py", "cv2", "stable_baselines3", "tqdm", "tyro")

# isort: split
import json
import resource
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from torch import nn
from tqdm import tqdm

from silot_gym import Checkpoint, SlotTracker, make_atari
from silot_gym.device import check_device
from silot_gym.files import write_atomically
from silot_gym.programs import processor, run
from silot_gym.sb3 import SILOTVecWrapper

LANES, SLOTS = (1, 8, 32), (32, 64)
MANY_LANES = (1024,)  # on a GPU
ENVS, ROLLOUT_STEPS = 8, 128


@dataclass
class Args:
    """How fast slots come: milliseconds a frame and lane, stage by stage, and steps of an agent.

    Writes `throughput_<Game>.json`.
    """

    checkpoint: Path
    """A run's folder."""
    frames: int = 100
    """Steps to take for each number of lanes and slots."""
    rounds: int = 3
    """How many times pixels and slots take turns; medians are reported."""
    agent_steps: int = 4096
    """Steps of the environments that an agent learns from in each turn."""
    soak: int = 100_000
    """Frames to track in the end, to see that time and memory don't grow."""
    results: Path = Path("benchmarks/results")
    """Folder for the JSON file."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to run."""
    progress: bool = True
    """Whether to show progress."""


def main(args: Args) -> None:
    """Measure, write."""
    for name in ("frames", "rounds", "agent_steps", "soak"):
        if getattr(args, name) < 1:
            raise ValueError(f"expected --{name.replace('_', '-')} of 1 or more")
    check_device(args.device)
    checkpoint = Checkpoint.load(args.checkpoint, args.device)
    game = checkpoint.frames.game
    if game is None:
        raise ValueError(f"{args.checkpoint}: expected a checkpoint of an Atari game")
    film = record(game, 256)
    report: dict[str, Any] = {
        "command": f"python {shlex.join(sys.argv)}",
        "game": game,
        "cpu": processor(),
        "threads": torch.get_num_threads(),
        "device": args.device,
        "tracking": tracking(checkpoint, film, args),
        "steps_per_second": stepping(game, args),
        "learning": learning(game, args),
        "soak": soak(checkpoint, film, args),
    }
    args.results.mkdir(parents=True, exist_ok=True)
    out = args.results / f"throughput_{game}.json"
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(json.dumps({name: report[name] for name in ("tracking", "learning")}, indent=2))
    print(f"figures: {out}")


@dataclass(frozen=True)
class Film:
    """Frames of a game, (T, height, width, 3), and which of them begin an episode, (T,)."""

    frames: NDArray[np.uint8]
    first: NDArray[np.bool_]

    def play(self, tracker: SlotTracker, t: int) -> None:
        """Show a tracker its frame t; each lane is at another place of the film."""
        places = np.arange(tracker.lanes) * len(self.frames) // tracker.lanes + t
        places %= len(self.frames)
        if self.first[places].any():
            tracker.reset(np.flatnonzero(self.first[places]).tolist())
        tracker.step(self.frames[places])


def record(game: str, length: int) -> Film:
    """Random play."""
    env = make_atari(game)
    env.action_space.seed(0)
    frames, first = [env.reset(seed=0)[0]], [True]
    while len(frames) < length:
        frame, _, terminated, truncated, _ = env.step(env.action_space.sample())
        first.append(terminated or truncated)
        frames.append(env.reset()[0] if first[-1] else frame)
    env.close()
    return Film(np.stack(frames), np.array(first))


class Stopwatch:
    """Seconds that methods of modules take, by name."""

    def __init__(self, methods: dict[str, tuple[nn.Module, str]], device: str) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.methods, self.device = methods, device
        for name, (module, method) in methods.items():
            setattr(module, method, self._timed(name, getattr(module, method)))

    def _timed(self, stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self._add(stage, -1)
            result = method(*args)
            self._add(stage, 1)
            return result

        return run

    def _add(self, stage: str, sign: int) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.seconds[stage] += sign * time.perf_counter()

    def stop(self) -> None:
        """Watch no longer."""
        for module, method in self.methods.values():
            delattr(module, method)  # that of its class shows again


def tracking(checkpoint: Checkpoint, film: Film, args: Args) -> list[dict[str, Any]]:
    """Milliseconds a frame and lane, and the share of each stage, by lanes and slots."""
    model = checkpoint.model
    stages = {
        "propagation": (model, "follow"),
        "backbone": (model.discovery.backbone, "forward"),
        "discovery": (model.discovery, "forward"),
    }
    rows = []
    for lanes in LANES + (MANY_LANES if args.device == "cuda" else ()):
        for slots in SLOTS:
            tracker = SlotTracker(checkpoint, lanes, slots)
            warm = max(2, args.frames // 5)
            for t in range(warm):
                film.play(tracker, t)
            started = time.perf_counter()
            for t in range(warm, warm + args.frames):
                film.play(tracker, t)
            total = time.perf_counter() - started
            watch = Stopwatch(stages, args.device)
            started = time.perf_counter()
            for t in range(warm + args.frames, warm + args.frames * 3 // 2 + 1):
                film.play(tracker, t)
            watched = time.perf_counter() - started
            watch.stop()
            share = {name: seconds / watched for name, seconds in watch.seconds.items()}
            share["discovery"] -= share["backbone"]
            share["all else"] = 1 - sum(share.values())
            rows.append(
                {
                    "lanes": lanes,
                    "slots": slots,
                    "ms_per_frame": round(1000 * total / args.frames / lanes, 3),
                    "share": {name: round(value, 3) for name, value in share.items()},
                }
            )
    return rows


def pixels(game: str) -> VecEnv:
    """SB3's own pipeline."""
    return VecFrameStack(make_atari_env(f"ALE/{game}-v5", ENVS, env_kwargs={"frameskip": 1}), 4)


def bare(game: str) -> VecEnv:
    """RGB frames as they come."""
    return make_vec_env(lambda: make_atari(game), ENVS)


def slots(game: str, args: Args) -> VecEnv:
    """Tracked objects."""
    return SILOTVecWrapper(bare(game), args.checkpoint, device=args.device)


def stepping(game: str, args: Args) -> dict[str, float]:
    """Steps of the environments in a second with random actions, by pipeline."""
    makers: dict[str, Callable[[], VecEnv]] = {
        "bare": lambda: bare(game),
        "pixels": lambda: pixels(game),
        "slots": lambda: slots(game, args),
    }
    rates = defaultdict(list)
    for _ in range(args.rounds):
        for name, make in makers.items():
            envs = make()
            envs.reset()
            started = time.perf_counter()
            for _ in range(args.frames):
                envs.step(np.array([envs.action_space.sample() for _ in range(ENVS)]))
            rates[name].append(ENVS * args.frames / (time.perf_counter() - started))
            envs.close()
    return {name: round(median(values), 1) for name, values in rates.items()}


def learning(game: str, args: Args) -> dict[str, float]:
    """Steps in a second that PPO learns from, on pixels and on slots, and their ratio."""
    settings: dict[str, Any] = {
        "learning_rate": 2.5e-4,
        "n_steps": ROLLOUT_STEPS,
        "batch_size": 256,
        "n_epochs": 4,
        "clip_range": 0.1,
        "ent_coef": 0.01,
        "device": args.device,
        "seed": 0,
    }
    agents = {
        "pixels": PPO("CnnPolicy", pixels(game), **settings),
        "slots": PPO("MlpPolicy", slots(game, args), **settings),
    }
    rates = defaultdict(list)
    for _ in range(args.rounds):
        for name, agent in agents.items():
            started = time.perf_counter()
            agent.learn(args.agent_steps, reset_num_timesteps=False)
            done = -(-args.agent_steps // (ENVS * ROLLOUT_STEPS)) * ENVS * ROLLOUT_STEPS
            rates[name].append(done / (time.perf_counter() - started))
    ratio = median(s / p for s, p in zip(rates["slots"], rates["pixels"], strict=True))
    return {name: round(median(values), 1) for name, values in rates.items()} | {
        "slots_over_pixels": round(ratio, 3)
    }


def soak(checkpoint: Checkpoint, film: Film, args: Args) -> dict[str, Any]:
    """Milliseconds a frame and peak memory in each tenth of a long run of 8 lanes."""
    lanes = 8
    tracker = SlotTracker(checkpoint, lanes)
    steps = max(10, args.soak // lanes)
    tenths = []
    started, t = time.perf_counter(), 0
    for t in tqdm(range(steps), desc="soak", disable=not args.progress):
        film.play(tracker, t)
        if (t + 1) % (steps // 10) == 0:
            now = time.perf_counter()
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            tenths.append((1000 * (now - started) / (steps // 10) / lanes, megabytes))
            started = now
    return {
        "frames": (t + 1) * lanes,
        "ms_per_frame": [round(ms, 3) for ms, _ in tenths],
        "peak_memory_mb": [round(mb) for _, mb in tenths],
    }


if __name__ == "__main__":
    run(main, Args)
