"""Verdicts by people.

``verdicts`` records them and draws audit samples. ``export`` copies reviewed images into a training set.
"""
