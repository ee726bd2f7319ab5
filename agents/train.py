"""Train an agent on the objects or on the pixels of an Atari game.

The same as `silot-gym train-agent`.
"""

from silot_gym.commands import run_command

if __name__ == "__main__":
    run_command("train-agent")
