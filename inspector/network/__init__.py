"""The trained network: a verified artifact, and the verdicts that it gives.

``artifact`` opens the TorchScript file and verifies it on its golden frames. ``metadata`` reads the contract
between trainer and station without torch. ``classifier`` turns frames into verdicts by the thresholds in
force. ``memory`` sets malloc for the large buffers of a forward pass. Import the modules: ``artifact`` and
``classifier`` load torch, ``metadata`` does not.
"""
