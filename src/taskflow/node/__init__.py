"""One node's side: the zygote that forks executors, and the executor processes that run tasks."""
