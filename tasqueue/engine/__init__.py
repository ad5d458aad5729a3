"""Who does the work: the server, its workers, and the plans that clients follow."""
