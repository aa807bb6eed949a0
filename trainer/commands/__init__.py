"""``weld-train``.

``cli`` holds the commands, ``labels`` those about labels, ``options`` the options that they share, and
``help`` the look of ``--help``. ``processes`` starts the processes that learn, ``terminal`` has logs and
JSON, and ``console`` tables for people. Nothing is imported here, so that ``weld-train --help`` starts at
once.
"""
