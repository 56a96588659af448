"""What users import: the task decorator, directions, futures, groups and the ``compss_*`` functions."""
