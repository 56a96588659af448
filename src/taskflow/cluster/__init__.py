"""The machines of a run, as the user's files and options describe them."""
