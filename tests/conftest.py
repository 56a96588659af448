"""Executors import the functions of test modules by name: its parent folder must be on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
