"""All workloads by name, in the order of the report."""

from __future__ import annotations

from benchmarks import array_workloads, library_workloads, small_workloads, system_workloads
from benchmarks.model import Workload

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *small_workloads.WORKLOADS,
        *array_workloads.WORKLOADS,
        *library_workloads.WORKLOADS,
        *system_workloads.WORKLOADS,
    )
}
