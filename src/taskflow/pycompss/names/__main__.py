"""``python -m pycompss [run] [options] app.py [arguments]``: the same as ``runtask``."""

import sys

from taskflow.cli.start import main_of_pycompss

if __name__ == "__main__":
    sys.exit(main_of_pycompss())
