"""How the body of a task is run, where that is more than a call."""
