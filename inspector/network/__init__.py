"""The trained network: an artifact, opened and proved, and the verdicts that it gives.

``artifact`` opens the TorchScript file and proves it on its golden frames. ``metadata`` reads the contract
between trainer and station without torch. ``classifier`` turns frames into verdicts by the thresholds in
force. ``memory`` sets malloc for the maps of a forward pass. Import the modules: only ``artifact`` and
``memory`` need what they load.
"""
