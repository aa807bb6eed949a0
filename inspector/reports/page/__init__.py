"""Pages and pictures for people: the quality report, contact sheets, one image with its heat map.

``period_reports`` runs the SQL reports of one period. ``plots`` and ``pictures`` draw their rows,
``sections`` and ``headline`` arrange them, and ``html`` makes the page. ``dated_reports`` keeps a folder of
such pages. ``contact_sheet`` draws PNG files. The daemon imports nothing from here, and nothing is imported
in this file, so that matplotlib loads only when something is drawn.
"""
