"""``weld-train``.

``cli`` holds the commands, ``options`` the options that they share. ``processes`` starts the processes that
learn, ``terminal`` has logs, errors and JSON, and ``console`` tables for people. Nothing is imported here, so
that ``weld-train --help`` starts at once.
"""
