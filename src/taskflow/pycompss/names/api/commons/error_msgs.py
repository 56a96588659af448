"""Texts about wrong arguments of decorators."""


def cast_env_to_int_error(what: str) -> str:
    """An environment variable that has to be a whole number is none."""
    return f"ERROR: {what} is given by an environment variable that is no whole number"


def cast_string_to_int_error(what: str) -> str:
    """A text that has to be a whole number is none."""
    return f"ERROR: {what} is given by a text that is no whole number"


def not_in_pycompss(decorator_name: str) -> str:
    """A decorator needs a session."""
    return f"The @{decorator_name} decorator only works in a session: start the program with runtask"


__all__ = ["cast_env_to_int_error", "cast_string_to_int_error", "not_in_pycompss"]
