"""Reports for people, from the SQL files in ``sql/reports``.

``query`` runs one report. ``page`` draws the HTML report, contact sheets and single images.
"""
