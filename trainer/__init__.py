"""The trainer: labelled frames become an ensemble, the ensemble one student, the student an artifact."""
