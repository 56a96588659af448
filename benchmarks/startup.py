"""The smallest program on a given runtime: start, one task, stop. Timed from outside, imports included."""

from __future__ import annotations

import sys

from benchmarks import functions
from benchmarks.catalog import driver_class


def main() -> int:
    """Take the name of the runtime and the number of workers from the command line."""
    driver = driver_class(sys.argv[1])()
    driver.start(int(sys.argv[2]))
    print(driver.gather([driver.submit(functions.inc, 1)])[0])
    driver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
