"""What a job is and what happens to it: pure data and pure decisions, no I/O and no clock."""
