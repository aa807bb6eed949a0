"""The evaluation of networks and artifacts on labelled frames.

``report`` applies ``metrics`` to the networks of a run and to artifacts, and ``results`` is the shape of
``results.json``. ``calibration``, ``thresholds`` and ``novelty`` fit a student's values on frames,
``linear_baseline`` is the model to beat, ``comparison`` judges two artifacts, and ``pictures`` draws.
``wording`` says results in words, for the terminal and for ``run_page``, the page of a run. Nothing is
imported here, because most modules load torch or matplotlib.
"""
