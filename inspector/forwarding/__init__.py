"""The copy of a station's ledger in a central database, and the verdicts that come back from there.

``forwarder`` is the story: verdicts of people from the centre, then batch after batch to it, again and again.
``own`` reads the station's ledger and adds verdicts to it. ``centre`` holds a station's turn at the central
database. ``copying`` turns rows of one database into rows of the other. ``thumbnails`` makes the small
pictures that people at the centre ask for.

How far a station is, is in :mod:`inspector.ledger.forwarded`. Nothing is imported here.
"""
