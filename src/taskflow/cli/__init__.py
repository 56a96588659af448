"""The commands. `taskflow.cli.runtask` runs a program with a session around it."""
