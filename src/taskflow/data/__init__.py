"""How values, files and directories are encoded, stored and moved."""
