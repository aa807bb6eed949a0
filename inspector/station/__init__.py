"""The daemon: from the drop folder to a committed row and an archived file.

Read ``daemon`` first: it is the story of an image. It calls ``intake`` (ready files, from ``drop_folder``,
``listing``, ``watch`` and ``ready_queue``), ``reading`` (file to frame, guarded by ``crash_journal``),
``workers``, ``recording`` (records for the ledger) and ``archive``. ``rules`` and ``reload`` say what is in
force, ``outages`` waits, ``results`` writes result files (``result_file``) for a PLC,
``service`` talks to systemd. ``composition`` builds a daemon from the settings.
"""
