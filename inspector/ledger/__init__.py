"""The quality database: its schema, and every statement that the station runs on it.

``schema`` and ``views`` define it. ``database`` opens SQLite and PostgreSQL so that both behave alike.
``statements`` builds rows and look-ups. ``store`` is the only module that writes history, and ``summaries``
adds what reports derive from it. ``final`` says which verdict on an image counts, and ``changes`` which
verdicts of people changed it. ``forwarded`` says how far the rows have come to a central database.

Nothing is imported here, so that a command's ``--help`` does not wait for SQLAlchemy.
"""
