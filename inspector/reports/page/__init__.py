"""What people look at: the quality report as one HTML page, contact sheets, one image with its heat map.

Rows of the SQL reports (``facts``) become plots, pictures and tables (``sections``, ``headline``), these one
page (``html``), and pages a shelf of dated ones (``shelf``). The daemon loads none of it.
"""
