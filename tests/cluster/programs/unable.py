"""A task that one node only can run, and that is under way for ever; then another one."""

import time

from pycompss.api.api import compss_wait_on
from pycompss.api.constraint import constraint
from pycompss.api.task import task


@task(returns=1)
def anywhere(x):
    return x + 1


@constraint(app_software="special")
@task(returns=1)
def special(x, seconds):
    time.sleep(seconds)
    return x + 1


def main():
    print(compss_wait_on(special(anywhere(1), 0)))
    print("under way", flush=True)
    print(compss_wait_on(special(anywhere(2), 600)))


if __name__ == "__main__":
    main()
