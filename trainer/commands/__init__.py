"""``weld-train``: the commands, and their tables for people."""
