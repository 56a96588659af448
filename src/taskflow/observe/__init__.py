"""The journal of a run and everything that reads it: task graph, summary, progress line."""
