"""The smallest program: one task, waited for. The `runtask` workload times the whole launcher on it."""

from __future__ import annotations

from taskflow import compss_wait_on, task


@task(returns=1)
def successor(x: int) -> int:
    """Return the next number."""
    return x + 1


if __name__ == "__main__":
    print(compss_wait_on(successor(1)))
