"""The daemon: from the drop folder to a committed row and an archived file.

Read ``daemon`` first: it is the story of an image. In its order:

- ``intake`` hands out files that are ready (``readiness``, ``ready_queue``). It finds them in the
  ``drop_folder`` by scans (``listing``) and by inotify (``watch``).
- ``reading`` turns a file into a frame in one of the ``workers``. ``crash_journal`` notes which files
  are open.
- ``batches`` says when waiting frames leave for the network.
- ``recording`` makes the records that go into the ledger.
- ``archive`` moves the files after the commit (``renames``).

Beside that: ``rules`` holds all that a ``reload`` may change. ``outages`` waits while the database or the
disk is away. ``events`` collects what happens for the log and the ledger. ``results`` writes each result and
each changed verdict as a file (``result_file``) for a PLC, and keeps how far it has got
(``result_position``). ``shadow`` lets a candidate judge archived images in idle time, by
``second_opinion``, which ``weld-inspect rejudge`` uses, too, also on a copy of the archive
(``archive_places``). ``service`` talks to systemd. ``composition`` builds a daemon from the settings.

Import the modules: loading all of them loads torch.
"""
