"""Simpler ways to objects, for comparison with SILOT."""
