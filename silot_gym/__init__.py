"""Atari pixels into tracked objects, without labels."""
