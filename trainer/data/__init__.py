"""Labelled frames: where they are, how they are split, read, resized and varied."""
