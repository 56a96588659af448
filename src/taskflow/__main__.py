"""``python -m taskflow`` is ``runtask``."""

import sys

from taskflow.cli.runtask import main

if __name__ == "__main__":
    sys.exit(main())
