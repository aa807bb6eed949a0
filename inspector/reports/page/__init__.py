"""Pages and pictures for people: the quality report, contact sheets, one image with its heat map.

The rows of the SQL reports (``period_reports``) become plots, pictures and tables (``sections``,
``headline``), and these one HTML page (``html``). ``dated_reports`` keeps a folder of such pages,
``contact_sheet`` draws PNG files. The daemon loads none of it.
"""
