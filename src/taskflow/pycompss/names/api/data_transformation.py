"""``@dt``: a task before the task, that makes its argument."""

from taskflow.pycompss.placeholders import PassThrough, missing

dt = data_transformation = DataTransformation = PassThrough
dto = DTObject = missing("dto")
OBJECT_TO_FILE = 0
FILE_TO_OBJECT = 1
FILE_TO_COLLECTION = 2
COLLECTION_TO_OBJECT = 3
COLLECTION_TO_FILE = 4
OBJECT_TO_DIRECTORY = 5
DIRECTORY_TO_OBJECT = 6
COLLECTION_TO_DIRECTORY = 7
