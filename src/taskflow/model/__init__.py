"""Plain data shared by every floor: directions, parameters, tasks and errors. Imports nothing above it."""
