"""The soak: many jobs under constant harm, then counts; `python -m tests.faults.soak`."""
