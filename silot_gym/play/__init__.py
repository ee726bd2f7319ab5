"""What happens between a trained model and the slots of a live game."""
