"""The run folder, what a run reads, and how far it is."""
