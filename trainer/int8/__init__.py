"""WeldNet in int8 arithmetic.

``schemes`` compiles a student: ``dynamic`` computes each map's scale from the frame itself, ``static`` uses
scales that ``ranges`` calibrated. ``folding`` turns the student's blocks into the layers of ``linear`` and
``convolution``. Nothing is imported here, because every module loads torch.
"""
