"""Stand-ins for a sequential run, whatever the session."""
