"""Reports of a running station about itself.

``progress`` keeps heartbeats, which feed the watchdog. ``metrics`` and ``totals`` count. ``health`` names
faults. ``endpoint`` serves ``/metrics`` and ``/healthz``. Import the modules: ``health`` loads SQLAlchemy,
the others do not.
"""
