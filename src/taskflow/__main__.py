"""``python -m taskflow`` is ``runtask``."""

import sys

from taskflow.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
