"""Tables that people open and write in spreadsheets.

``tables`` reads a CSV in each form that spreadsheets write. ``cells`` writes text so that a spreadsheet shows
it as text. The trainer uses ``tables``, too.
"""
