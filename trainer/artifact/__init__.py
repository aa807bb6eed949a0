"""The student, and the artifact that is compiled from it.

``fitting`` fits ranges and novelty on frames, ``student`` is the file that a run leaves, and ``artifact``
writes the TorchScript file for the station. Nothing is imported here, because every module loads torch.
"""
