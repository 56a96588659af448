"""Programs written for PyCOMPSs: the modules they import (`names`) and what only those need.

``runtask`` makes ``import pycompss`` give our modules; a program that does not use it calls `install` first. Without
either, our modules are found if no other PyCOMPSs is installed.
"""

from taskflow.finder import install

__all__ = ["install"]
