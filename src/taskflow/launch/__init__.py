"""How executors are started on a node."""
