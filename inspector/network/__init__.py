"""The trained network: a verified artifact, and the verdicts that it gives.

``artifact`` opens the TorchScript file and verifies it on its golden frames. ``metadata`` reads the contract
between trainer and station without torch. ``classifier`` turns frames into verdicts by the thresholds in
force. ``judging`` judges pictures with an artifact alone, for Python and for ``weld-inspect predict``.
``memory`` sets malloc for the large buffers of a forward pass. Import the modules: ``metadata`` loads no
torch, the others do.
"""
