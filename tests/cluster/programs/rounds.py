"""Rounds of short tasks; prints the hosts of a round whenever they are others than in the round before.

rounds.py [SECONDS]: how long to go on (default 30). The file "enough" ends it before.
"""

import os
import socket
import sys
import time

from pycompss.api.api import compss_wait_on
from pycompss.api.task import task


@task(returns=1)
def where(_number):
    time.sleep(0.02)
    return socket.gethostname()


def main():
    end = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 30)
    known = None
    while time.monotonic() < end and not os.path.exists("enough"):
        hosts = sorted(set(compss_wait_on([where(number) for number in range(18)])))
        if hosts != known:
            print(*hosts, flush=True)
            known = hosts
    print("end")


if __name__ == "__main__":
    main()
