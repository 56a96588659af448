"""What travels between the master and its executors, and how it is framed."""
