"""The station: image files become rows of a quality database, and rows become reports."""
