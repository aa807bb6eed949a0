"""Human verdicts.

``verdicts`` checks them, reads them from CSV files, and draws audit samples. ``selection`` finds the images
that a verdict is for. ``one_by_one`` asks for a key for each waiting image, with the picture in a ``window``.
``recorder`` adds the verdicts to the ledger. An account that may not write to a SQLite file is a ``client``
of the ``service``, which takes ``requests``. ``export`` copies reviewed images into a training set, with the
classes of ``labels`` and the table of ``label_table``. Nothing is imported here, so that a command's
``--help`` does not wait for SQLAlchemy.
"""
