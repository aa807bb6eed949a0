"""The paper's tables and figures from finished runs.

``runs`` groups the runs, ``tables`` writes the tables, ``figures`` draws, and ``speed`` measures frames per
second. Nothing is imported here, because every module loads torch or matplotlib.
"""
