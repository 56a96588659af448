"""A root file system for images of containers: a shell, a few programs and this Python, copied from this machine."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

PROGRAMS = (
    "sh", "cat", "cp", "echo", "env", "false", "head", "id", "kill", "ls", "mkdir", "mv", "printf", "pwd", "rm",
    "sleep", "sort", "touch", "true", "wc",
)  # fmt: skip
FOLDERS = ("bin", "dev", "etc", "home", "lib", "lib64", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/lib",
           "var/tmp")  # fmt: skip
#: Of the standard library, what tasks do without.
_LEFT_OUT = (
    "__pycache__", "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "test", "tests", "tkinter", "turtledemo", "*.a",
)  # fmt: skip


def make_root(root: Path, *, python: bool = True) -> Path:
    """Fill a new folder with the files of an image."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, mode=0o755)
    (root / "tmp").chmod(0o1777)
    for name in PROGRAMS:
        shutil.copy(os.path.realpath(shutil.which(name)), root / "bin" / name)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc/resolv.conf").write_text("")
    if python:
        _add_python(root / "usr")
    _add_libraries(root)
    return root


def _add_python(prefix: Path) -> None:
    """This interpreter without what is installed into it; it finds its library from where it lies."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copy(os.path.realpath(sys.executable), prefix / "bin" / name)
    (prefix / "bin/python3").symlink_to(name)
    for shared in Path(sys.base_prefix, "lib").glob("libpython3.*.so.*"):
        shutil.copy(shared, prefix.parent / "lib" / shared.name)
    library = os.path.dirname(os.__file__)
    shutil.copytree(library, prefix / "lib" / name, ignore=shutil.ignore_patterns(*_LEFT_OUT))


def _add_libraries(root: Path) -> None:
    """The shared libraries that the programs need, at the paths where they look for them."""
    wanted = [str(path) for path in root.rglob("*") if path.is_file() and not path.is_symlink() and (
        os.access(path, os.X_OK) or ".so" in path.name
    )]  # fmt: skip
    said = subprocess.run(["ldd", *wanted], capture_output=True, text=True, check=False, timeout=60).stdout
    for library in sorted(set(re.findall(r"(?:=> |^\t)(/[^ ]+)", said, re.MULTILINE))):
        if not library.startswith((str(root), os.path.join(sys.base_prefix, "lib", "libpython"))):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(library), target)


def packed(root: Path, archive: Path) -> Path:
    """The same as an archive, for engines that import one."""
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=_owned_by_root)
    return archive


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member
