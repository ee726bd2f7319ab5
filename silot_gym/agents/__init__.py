"""Agents of Stable-Baselines3 on objects or pixels: training, evaluation, pictures."""
