"""What is measured on a game's rollouts, without labels and in seconds."""
