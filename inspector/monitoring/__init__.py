"""What a running station reports about itself.

``progress`` feeds the watchdog, ``metrics`` and ``totals`` count, ``health`` names faults, and ``endpoint``
serves ``/metrics`` and ``/healthz``.
"""
