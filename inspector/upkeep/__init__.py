"""The work behind the commands that look after a station.

``check`` finds mistakes before the first shift. ``status``, ``reconcile`` and ``trace`` show what is there.
``prune`` and ``requeue`` move files. ``backup`` copies the database. ``new_station`` makes the folder of a
station. ``install_artifact`` exchanges the artifact, with ``kept_artifacts`` (its files), ``decided_images``
(both on the images that people decided) and ``daemon_reload``. ``rejudge`` lets another artifact judge
archived images: ``chosen_images`` finds them, and one of the ``rejudge_engines`` judges, threads or
``rejudge_ray``, whose workers write ``answer_files``. ``bench`` measures the speed. ``clock`` checks the
system clock, and ``folders`` walks over archive and quarantine. Nothing is imported here, so that ``--help``
is instant.
"""
