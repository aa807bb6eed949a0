"""``weld-inspect``: one module per topic.

Heavy imports stay inside the commands, so that ``--help`` is instant.
"""
