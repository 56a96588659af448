"""The tasks that turn data into data for ``@dt``."""

from taskflow.api.transformation import (
    col_to_directory,
    col_to_file,
    col_to_obj,
    directory_to_object,
    file_to_col,
    file_to_object,
    object_to_directory,
    object_to_file,
    transform,
)

__all__ = [
    "col_to_directory",
    "col_to_file",
    "col_to_obj",
    "directory_to_object",
    "file_to_col",
    "file_to_object",
    "object_to_directory",
    "object_to_file",
    "transform",
]
