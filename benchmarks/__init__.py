"""The benchmark suite of taskflow: the same small workloads on taskflow and on its peers.

Run it from the root of the repository with ``python -m benchmarks``; see ``benchmarks/README.md``.
"""
