"""The commands of ``weld-inspect``, one module per topic.

``cli`` has the program itself and the commands that run a station, ``report`` the reports, ``review`` human
verdicts, ``images`` single images, ``predict`` pictures without a station, ``files`` old and quarantined
files, ``init`` a new station, ``rejudge`` archived images by another artifact, ``install`` a new artifact,
and ``settings`` the commands that explain them. ``options`` holds what they share, and ``help`` the look of
``--help``. Nothing is imported here, and heavy imports stay inside the commands, so that ``--help`` is
instant.
"""
