"""A module of the program's own, which tasks on other nodes import, too."""


def double(x):
    return 2 * x
