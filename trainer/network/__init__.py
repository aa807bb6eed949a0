"""WeldNet (``weldnet``), the networks it is compared with, ensembles, and initial weights.

``student_file`` reads a student's weights, ``prediction`` turns a network into a function of frames, and
``torchvision`` is the one way to import torchvision. Nothing is imported here, because every module
loads torch.
"""
