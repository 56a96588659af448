"""The tasks that turn data into data for ``@dt``."""

from __future__ import annotations

from typing import Any

from taskflow.api.parameter import COLLECTION_IN, COLLECTION_OUT, DIRECTORY_IN, DIRECTORY_OUT, FILE_IN, FILE_OUT
from taskflow.api.task import task


@task(returns=object)
def transform(data: Any, function: Any, **kwargs: Any) -> Any:
    """An object to an object."""
    return function(data, **kwargs)


@task(out=FILE_OUT)
def object_to_file(data: Any, function: Any, out: str, **kwargs: Any) -> None:
    """An object to a file."""
    function(data, out, **kwargs)


@task(data=FILE_IN, returns=object)
def file_to_object(data: str, function: Any, **kwargs: Any) -> Any:
    """A file to an object."""
    return function(data, **kwargs)


@task(data=FILE_IN, out=COLLECTION_OUT)
def file_to_col(data: str, function: Any, out: list[Any], **kwargs: Any) -> None:
    """A file to a collection of ``len(out)`` objects."""
    for place, item in enumerate(function(data, **kwargs)):
        out[place] = item


@task(data=COLLECTION_IN, returns=object)
def col_to_obj(data: list[Any], function: Any, **kwargs: Any) -> Any:
    """A collection to an object."""
    return function(data, **kwargs)


@task(data=COLLECTION_IN, out=FILE_OUT)
def col_to_file(data: list[Any], function: Any, out: str, **kwargs: Any) -> None:
    """A collection to a file."""
    function(data, out, **kwargs)


@task(out=DIRECTORY_OUT)
def object_to_directory(data: Any, function: Any, out: str, **kwargs: Any) -> None:
    """An object to a directory."""
    function(data, out, **kwargs)


@task(data=DIRECTORY_IN, returns=object)
def directory_to_object(data: str, function: Any, **kwargs: Any) -> Any:
    """A directory to an object."""
    return function(data, **kwargs)


@task(data=COLLECTION_IN, out=DIRECTORY_OUT)
def col_to_directory(data: list[Any], function: Any, out: str, **kwargs: Any) -> None:
    """A collection to a directory."""
    function(data, out, **kwargs)
