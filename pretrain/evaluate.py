"""Score a checkpoint on held-out episodes, and show what it sees or predicts.

The same as `silot-gym evaluate`.
"""

from silot_gym.commands import run_command

if __name__ == "__main__":
    run_command("evaluate")
