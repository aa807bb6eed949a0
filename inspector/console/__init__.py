"""The review console: a web server beside the station, for the people who review.

``server`` listens, ``app`` puts the pages together, and ``protection`` and ``sign_in`` come before all of
them. ``people`` knows who may do what. ``state`` is what the pages share. A page has a module (``…_page``), a
template and, if it has keys, a script in ``static``. The console is a process of its own, and writes verdicts
only through :mod:`inspector.review.recorder`, so nothing in it can affect an inspection. Nothing is imported
here: the console needs the extra ``console``, and no other command does.
"""
