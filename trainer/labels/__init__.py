"""Questions about labels: which of them may be wrong, and how many more are worth their work.

``features`` reads frames and computes what a frozen pretrained network sees in them, ``folds`` has each frame
judged by a model that has not learnt from it. ``suspects`` is the command's story, with
``confident_learning`` and ``suspects_page``. ``learning_curve`` is the other one, with ``probe_curve``,
``recipe_curve``, ``curve`` and ``power_law``. Nothing is imported here, so that ``weld-train --help`` starts
at once.
"""
