"""The run folder and what it holds, the frames that a run reads, and its progress.

``folder`` locks the run folder and writes its files. ``identity`` is everything that a result depends on.
``random_split`` finds near-duplicates, or the split of an older run. ``reading`` decides the frames' size
and reads them; ``smallest_defect`` says what remains of a defect at that size. ``saving`` writes files of
tensors. ``progress`` shows the time that is left. Nothing is imported here, because most modules load torch.
"""
