"""Draw learning curves of agents as a PNG: return over steps and over time.

The same as `silot-gym plot`.
"""

from silot_gym.commands import run_command

if __name__ == "__main__":
    run_command("plot")
