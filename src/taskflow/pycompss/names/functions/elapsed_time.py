"""Times."""

from taskflow.functions.elapsed_time import TimeIt, timeit

TimeIT = TIMEIT = timeit

__all__ = ["TIMEIT", "TimeIT", "TimeIt", "timeit"]
