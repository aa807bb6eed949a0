"""How good a network is: metrics, baseline, calibration, thresholds, novelty, and pictures of them."""
