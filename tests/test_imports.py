import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = [
    "stable_baselines3",
    "tensorboard",
    "matplotlib",
    "ale_py",
    "PIL",
    "imageio",
    "cv2",
    "tyro",
    "sklearn",
    "ray",
]


def test_import_pulls_in_only_what_everybody_needs():
    program = f"import sys, silot_gym; print([m for m in {HEAVY} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.strip() == "[]"


def test_public_names():
    import silot_gym

    wrappers = {"SILOTObjectWrapper", "SILOTObjectVectorWrapper"}
    assert set(silot_gym.__all__) == wrappers | {
        "Checkpoint",
        "SlotTracker",
        "SlotVectorObservation",
        "__version__",
        "make_atari",
    }
    assert all(hasattr(silot_gym, name) for name in silot_gym.__all__)
