"""Fitting SILOT to rollouts."""
