"""Synthetic frames: weld pools and textures, drawn on any machine."""
