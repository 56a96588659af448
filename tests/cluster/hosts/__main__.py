"""Hosts to play with: ``python -m tests.cluster.hosts [NODES]`` gives a shell on the host "master"; as root.

From there `ssh node1` leads to a node, and `python -m taskflow --nodes node1,node2 app.py` runs a program on nodes. The
hosts are gone when the shell ends.
"""

import os
import sys

from tests.cluster.hosts.namespaces import MASTER, ROOT, NamespaceCluster, reason_to_skip


def main():
    if reason := reason_to_skip():
        sys.exit(reason)
    with NamespaceCluster(int(sys.argv[1]) if len(sys.argv) > 1 else 3) as cluster:
        environment = {
            "PS1": r"\h:\w$ ",
            "TERM": os.environ.get("TERM", "dumb"),
            "PYTHONPATH": str(ROOT / "src"),
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        }
        shell = cluster.start(MASTER, ["bash", "--norc"], env=environment, stdin=None)
        return shell.wait()


if __name__ == "__main__":
    sys.exit(main())
