"""The floors of the house, drawn from the imports: each may use only what is listed, which is below it."""

import ast
from pathlib import Path

import pytest

import taskflow

SOURCE = Path(taskflow.__file__).parent

#: From low to high. The kernel uses nothing but plain data; only the upper floors know the drivers; nobody
#: the cli.
FLOORS = {
    "_version": (),
    "finder": (),
    "model": (),
    "tracebacks": ("model",),
    "core": ("model",),
    "wire": ("model",),
    "data": ("core", "model", "wire"),
    "cluster": ("model",),
    "observe": ("model",),
    "launch": ("cluster", "model", "wire"),
    "node": ("cluster", "core", "data", "finder", "launch", "model", "tracebacks", "wire"),
    "runners": ("data", "launch", "model", "node"),
    "drivers": ("core", "data", "launch", "model", "node", "observe", "runners", "wire"),
    "interrupts": ("drivers",),
    "preparation": ("cluster", "core", "drivers", "launch", "model", "observe"),
    "runtime": (
        "_version",
        "cluster",
        "core",
        "data",
        "drivers",
        "finder",
        "interrupts",
        "launch",
        "model",
        "node",
        "observe",
        "preparation",
        "tracebacks",
    ),
    "api": ("core", "data", "drivers", "model", "runners", "runtime", "tracebacks", "wire"),
    "nested": ("api", "core", "data", "drivers", "model", "node", "runtime", "wire"),
    "functions": ("api", "model"),
    "dds": ("api", "functions", "model"),
    "interactive": ("api", "core", "data", "model", "observe", "runtime"),
    "check": ("model", "observe", "runtime"),
    "__init__": ("_version", "api", "check", "model", "runtime"),
    "cli": (
        "__init__",
        "_version",
        "api",
        "cluster",
        "core",
        "drivers",
        "finder",
        "interrupts",
        "launch",
        "model",
        "observe",
        "preparation",
        "runtime",
        "tracebacks",
    ),
    "pycompss": (
        "__init__",
        "_version",
        "api",
        "cli",
        "data",
        "dds",
        "finder",
        "functions",
        "interactive",
        "model",
        "node",
        "runtime",
    ),
    "pytest_plugin": ("__init__", "finder", "runtime"),
    "__main__": ("cli",),
}

#: Upward, but only in annotations.
IN_ANNOTATIONS = {("preparation", "runtime")}


def floor_of(name):
    """The floor of a dotted module name such as ``taskflow.core.graph``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(node):
    """The modules of ours that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.split(".")[0] == "taskflow"]
    if node.level:
        pytest.fail(f"line {node.lineno}: relative imports hide where they go")
    if node.module == "taskflow":
        return [f"taskflow.{alias.name}" if alias.name in FLOORS else "taskflow" for alias in node.names]
    return [node.module] if node.module and node.module.startswith("taskflow.") else []


def arrows():
    """(importing floor, imported floor, whether only in annotations, place) of every import."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing_only = {
            inner
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
            for inner in ast.walk(block)
        }
        relative = path.relative_to(SOURCE)
        floor = relative.parts[0].removesuffix(".py")
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name in imported(node):
                    yield floor, floor_of(name), node in typing_only, f"{relative}:{node.lineno}"


def test_every_floor_is_listed():
    present = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("*.py")}
    assert sorted(present - set(FLOORS)) == []


def test_no_listed_arrow_runs_upward():
    heights = {floor: height for height, floor in enumerate(FLOORS)}
    assert [(floor, used) for floor in FLOORS for used in FLOORS[floor] if heights[used] >= heights[floor]] == []


def test_imports_run_downward_only():
    wrong = [
        f"{place}: {floor} must not import {used}"
        for floor, used, typing_only, place in arrows()
        if floor != used
        and used not in FLOORS[floor]
        and not (typing_only and (floor, used) in IN_ANNOTATIONS)
    ]  # fmt: skip
    assert wrong == []


def test_the_kernel_does_nothing_itself():
    """No I/O, no thread, no clock and no randomness: it imports no module that could."""
    allowed = {
        "__future__",
        "bisect",
        "collections",
        "dataclasses",
        "difflib",
        "enum",
        "errno",
        "heapq",
        "itertools",
        "typing",
        "weakref",
    }
    for path in (SOURCE / "core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            outside = {name.split(".")[0] for name in names} - {"taskflow"} - allowed
            assert not outside, f"{path.name}:{node.lineno} imports {outside}"
            assert not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print")
            )
