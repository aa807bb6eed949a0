"""The trainer: from labelled frames to the artifact that a station runs.

Read ``pipeline`` first: it is the story of a run. ``recipe`` holds every key of a run, ``recipe_file`` reads
them, and ``sweep`` starts many runs. ``data`` lists and reads frames, ``learning`` trains networks,
``evaluation`` measures them, ``int8`` and ``artifact`` compile the student, ``run`` keeps the run folder, and
``commands`` is ``weld-train``. Nothing is imported here, so that ``weld-train --help`` starts at once.
"""
