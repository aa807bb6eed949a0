"""Reports for people, from the SQL files in ``sql/reports``.

``query`` runs one report, ``rendering`` prints it, ``definitions`` reads the heads of the SQL files, and
``audit`` says in words what audits prove. ``page`` draws the HTML report, contact sheets and single images.
Nothing is imported here: SQLAlchemy and matplotlib load only in the commands that need them.
"""
