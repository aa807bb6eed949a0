"""Synthetic frames for demos, tests and initial weights, drawn without torch.

``frames`` yields weld pools (``weld_scenes`` is one run of them, ``weld_pools`` draws a frame) and writes
data sets. ``textures`` yields textures. ``drawing`` has the tools. Nothing is imported here, because
``textures`` and ``frames`` use the same names.
"""
