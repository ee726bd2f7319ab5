"""Collect rollouts of an Atari game, fit SILOT to them, and show how well it tracks.

The same as `silot-gym pretrain`.
"""

from silot_gym.commands import run_command

if __name__ == "__main__":
    run_command("pretrain")
