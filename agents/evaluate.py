"""Play with a trained agent: its return, a video, and which objects move it.

The same as `silot-gym evaluate-agent`.
"""

from silot_gym.commands import run_command

if __name__ == "__main__":
    run_command("evaluate-agent")
