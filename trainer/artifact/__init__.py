"""The student, and the TorchScript file that is compiled from it."""
