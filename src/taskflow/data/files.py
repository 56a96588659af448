"""Files and directories of tasks: private copies of what a task may not change, checked outputs, atomic publication."""

from __future__ import annotations

import contextlib
import errno
import functools
import os

#: Files up to this size are copied for a task that reads them, so that it cannot change the original; larger ones
#: are passed as they are and compared by time stamp and size afterwards.
COPY_LIMIT = 256 << 20
_SMALL = 1 << 20


def copy_file(source: str, target: str) -> None:
    """Copy contents and permission bits; small files in one read and one write."""
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(reader)
        if status.st_size > _SMALL:
            import shutil

            shutil.copyfile(source, target)
            os.chmod(target, status.st_mode & 0o777)
            return
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, status.st_mode & 0o777)
        try:
            expected = status.st_size
            while chunk := os.read(reader, _SMALL):
                expected -= len(chunk)
                while chunk:
                    chunk = chunk[os.write(writer, chunk) :]
                if not expected:
                    break  # the usual end; asking once more would be one system call in ten
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def copy_any(source: str, target: str, *, directory: bool) -> None:
    """Copy a file, or a directory as a whole (symbolic links stay links)."""
    if directory:
        import shutil

        shutil.copytree(source, target, symlinks=True)
    else:
        copy_file(source, target)


def remove_any(path: str) -> None:
    """Remove a file or a directory, or nothing if it is not there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        import shutil

        shutil.rmtree(path)


def move_into_place(source: str, target: str, *, directory: bool, keep_source: bool) -> None:
    """Put a finished file or directory at the user's path; a reader of that path sees the old or the new, whole.

    ``keep_source``: other tasks still read the source, so it is copied. Parent folders of the target must exist.
    """
    if source == target:
        return
    if not keep_source and not directory:
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            return
    staging = f"{target}.taskflow-{os.getpid()}"
    remove_any(staging)
    if keep_source:
        copy_any(source, staging, directory=directory)
    else:
        try:
            os.rename(source, staging)
        except OSError:
            # Another file system: copy, then rename within the target's.
            copy_any(source, staging, directory=directory)
            remove_any(source)
    if directory:
        remove_any(target)
    os.replace(staging, target)


def fingerprint(path: str) -> tuple[int, int, int]:
    """What changes when a file is written: inode, size, modification time in nanoseconds."""
    status = os.stat(path)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


class OwnedPath:
    """A version's own file or directory in the run folder; removed when no version needs it any more."""

    __slots__ = ("_keep", "_process", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._keep = False
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this process can use it."""
        return True

    def give_away(self) -> None:
        """The file has been moved elsewhere; nothing is left to remove."""
        self._keep = True

    def __str__(self) -> str:
        return self.path

    def __del__(self) -> None:
        if self._keep or os.getpid() != self._process:  # in a forked child of the main program nothing ends
            return
        with contextlib.suppress(OSError):  # the run folder was removed first
            remove_any(self.path)


def absolute(path: str | os.PathLike[str]) -> str:
    """The one name of a file: absolute and normalised, symbolic links in its folder resolved."""
    text = os.fspath(path)
    folder, name = os.path.split(text)
    if not name or name in (os.curdir, os.pardir):
        return os.path.realpath(text)
    if not folder.startswith("/"):
        folder = os.path.join(os.getcwd(), folder)
    return f"{_real_folder(folder).rstrip('/')}/{name}"


@functools.lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    # Resolving asks the file system about every part of the path, and programs use few folders for many files.
    return os.path.realpath(folder)
