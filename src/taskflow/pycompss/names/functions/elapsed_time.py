"""Times."""

from taskflow.pycompss.placeholders import missing

TimeIt = missing("TimeIt")
timeit = missing("timeit")
TimeIT = missing("TimeIT")
TIMEIT = missing("TIMEIT")
