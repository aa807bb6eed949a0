"""Commands that look after a station.

``check`` before the first shift; ``status``, ``reconcile`` and ``trace`` to look; ``prune`` and
``requeue`` to move files; ``bench`` to measure; ``clock`` for the checks of the system clock.
"""
