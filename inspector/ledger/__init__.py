"""The quality database: its schema, and every statement that the station runs on it.

``schema`` and ``views`` define it. ``database`` opens SQLite and PostgreSQL so that both behave alike.
``statements`` makes rows and look-ups, and ``store`` is the only module that writes.
"""
