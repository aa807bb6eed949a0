"""Frames: lists of them, splits, decoding, resizing and augmentation.

``datasets`` lists the frames of ``--data`` with their labels, and ``joining`` makes one list of several.
``duplicates`` finds copies of an image, and ``near_duplicates`` copies that were changed a little. ``splits``
holds some frames out. ``frames`` decodes them into memory, and ``resizing`` resizes them. ``augmentation``
varies training frames. ``unlabelled`` finds frames without labels for the student. Nothing is imported here,
because most modules load torch.
"""
