"""What all tests need.

Executors import the functions of test modules by name: its parent folder must be on the path. A shell that starts the
tests in the background has them ignore Ctrl-C, and programs they start would inherit that.
"""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)
