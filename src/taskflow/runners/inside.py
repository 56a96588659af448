"""Calls a function inside a container: all that is needed there is a Python 3, and an old one will do.

It is run by path. In the folder that it is given lies a request; the answer is put there, too. Nothing of this package
is imported, unless the function's own module does that: for this the package is there.
"""

import os
import pickle
import sys
import traceback
from typing import Any

REQUEST = "request"
ANSWER = "answer"
PROTOCOL = 4  #: of pickle: what every Python since 3.4 can read

# What the answer begins with; the host turns it into a value or an error.
VALUE = "value"  #: then the pickled value
RAISED = "raised"  #: then the pickled exception or None, its type and text, its traceback
UNUSABLE = "unusable"  #: then why the function cannot be called here, or why its value cannot travel


class Unusable(Exception):  # noqa: N818  a state of affairs
    """The function cannot be called here."""


def main(folder: str) -> None:
    """Read the request, write the answer."""
    del sys.path[0]  # the folder of this file: its modules are not to be found under their bare names
    with open(os.path.join(folder, REQUEST), "rb") as file:
        request = pickle.load(file)
    try:
        answer = _answer(request)
    except Unusable as problem:
        answer = (UNUSABLE, str(problem))
    temporary = os.path.join(folder, ANSWER + ".part")
    with open(temporary, "wb") as file:
        pickle.dump(answer, file, PROTOCOL)
    os.rename(temporary, os.path.join(folder, ANSWER))


class _Names:
    """Entry of ``sys.meta_path`` by which ``import pycompss`` gives our modules, as outside."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG004
        """Called for every module that is imported for the first time."""
        if name != "pycompss":
            return None
        from importlib.util import spec_from_file_location

        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        folder = os.path.join(package, "pycompss", "names")
        return spec_from_file_location(name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])


def _answer(request: Any) -> Any:
    sys.path[:0] = request["path"]
    sys.meta_path.insert(0, _Names)
    _keep_bytecode(request["bytecode"])
    sys.argv[:] = request["argv"]
    function = _loaded("the function", lambda: _function(request))
    args, kwargs = _loaded("an argument", lambda: pickle.loads(request["arguments"]))
    try:
        value = function(*args, **kwargs)
        if type(value).__name__ == "generator":
            value = list(value)
    except BaseException as error:  # noqa: BLE001  whatever a task raises is the main program's to see
        return _raised(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    try:
        return (VALUE, _pickled(value))
    except Exception as error:  # noqa: BLE001  anything may be wrong with it
        raise Unusable(f"what it returned cannot be pickled: {type(error).__name__}: {error}") from None


def _keep_bytecode(folder: str) -> None:
    """What is mounted cannot be written to, so each call would compile the modules there, if that has not been done."""
    from importlib.util import cache_from_source

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.exists(cache_from_source(os.path.join(package, "__init__.py"))):
        sys.pycache_prefix = folder
        sys.dont_write_bytecode = False


def _loaded(what: str, load: Any) -> Any:
    problem = f"{what} cannot be loaded by its Python {sys.version_info[0]}.{sys.version_info[1]}"
    try:
        return load()
    except Unusable:
        raise
    except ImportError as error:
        raise Unusable(f"{problem}: {error}") from None
    except SyntaxError as error:
        raise Unusable(
            f"{problem}, which does not understand {error.filename}, line {error.lineno} (modules that import taskflow "
            "or pycompss need Python 3.10)"
        ) from None
    except Exception as error:  # noqa: BLE001  modules may do anything when they are loaded
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        raise Unusable(f"{problem}: {text.strip()}") from None


def _function(request: Any) -> Any:
    kind = request["function"]
    if kind[0] == "value":
        theirs, ours = request["python"], list(sys.version_info[:2])
        if theirs != ours:
            raise Unusable(
                f"it has Python {ours[0]}.{ours[1]}, and the program runs with Python {theirs[0]}.{theirs[1]}. "
                "Functions of the main script, lambdas and closures travel as bytecode, which only the same version "
                "understands: move the task into a module that the script imports, or take an image with that Python"
            )
        return pickle.loads(kind[1])
    import importlib

    found = importlib.import_module(kind[1])
    for name in kind[2].split("."):
        found = getattr(found, name)
    return getattr(found, "__taskflow_function__", found)


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:  # classes of the main script, say
        try:
            import cloudpickle
        except (ImportError, SyntaxError):
            cloudpickle = None
        if cloudpickle is None:
            raise
        dumped: bytes = cloudpickle.dumps(value, PROTOCOL)
        return dumped


def _raised(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    blob = None
    try:
        blob = _pickled(error.with_traceback(None))
        pickle.loads(blob)
    except Exception:  # noqa: BLE001  it may refuse to go or to come back; then its text has to do
        blob = None
    return (RAISED, blob, f"{type(error).__name__}: {error}", text)


if __name__ == "__main__":
    main(sys.argv[1])
