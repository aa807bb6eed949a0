"""How networks learn.

``networks`` trains the networks of a run, and ``training`` one of them: its loop, steps and checkpoints.
``schedule`` has the learning rate and the average of the weights, ``soft_targets`` smoothed labels and mixup,
``distillation`` the ensemble's labels for the student. ``processes`` starts several processes, and
``followers`` watches them. ``rounded_weights`` prepares the student for int8, ``batch_statistics`` computes
batch norm's statistics again, ``tensorboard`` writes curves. Nothing is imported here, because every module
loads torch.
"""
