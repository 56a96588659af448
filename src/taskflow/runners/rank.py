"""What each rank of a Python function runs: gets the call from rank 0 over MPI, does it, gives rank 0 what came of it.

    executor ─ call file ─► rank 0 ══ MPI ══► ranks 1 … n-1
        ▲                     │ ◄═══ MPI ══════╝   values
        └──── result file ────┘

A rank consists of two processes. The one that the launcher started only waits for the other, which is the rank for MPI
and for the function; so somebody is there to say which rank it was that was killed. Exceptions and deaths are told by
*reports*: a file beside the call, or where that folder is not to be seen, on another node, lines of the error output.
"""

from __future__ import annotations

import base64
import contextlib
import mmap
import os
import pickle
import re
import signal
import sys
import time
from typing import Any, NoReturn

from taskflow.model.errors import ProgramError
from taskflow.runners import rank_files
from taskflow.runners.rank_files import Arguments

CALL = "call"
RESULT = "result"
REPORT = "report-"
LINE = "taskflow-report"
_PIECE = 1500  #: characters of a report in a line; launchers pass on longer ones in pieces that may be mixed
_PR_SET_PDEATHSIG = 1

#: How launchers tell a process its rank.
_RANK_VARIABLES = ("PMIX_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")


def main() -> NoReturn:
    """The first process of a rank.

    Arguments: the folder of this package, that of the call, the number of ranks, the name of the runner.
    """
    folder, ranks, runner = sys.argv[2], int(sys.argv[3]), sys.argv[4]
    state = mmap.mmap(-1, 1)  # that both processes see
    process = os.fork()
    if not process:
        _second(folder, ranks, runner, state)
    _, status = os.waitpid(process, 0)
    rank_files.remove(os.getpid())
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        report(folder, "lost", _rank_told(), (-code, process))
    elif state[0] == _STARTED:
        from taskflow.node.exceptions import encode_error

        error = ProgramError(
            f"MPI has ended the process {process}, with exit value {code}, when it was about to begin, and has printed "
            f"why; {_remedy(runner)}"
        )
        report(folder, "raised", _rank_told(), encode_error(error))
    elif state[0] == _BEGUN or (state[0] == _DONE and code):
        how = f"ended with exit value {code} (by os._exit, MPI_Abort, or a library that ends its process)"
        report(folder, "ended", _rank_told(), (process, how, ""))
    if code or state[0] != _DONE:
        _die(-code if code < 0 else signal.SIGABRT)
    os._exit(0)


def _die(number: int) -> NoReturn:
    """End by a signal: an exit value does not have every launcher end the ranks on other nodes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


#: How far the second process has come: it runs; MPI has begun; the executor knows why it fails; the function is done.
_STARTED, _BEGUN, _TOLD, _DONE = range(4)


def _second(folder: str, ranks: int, runner: str, state: mmap.mmap) -> NoReturn:
    """The process that is the rank."""
    _die_with_parent()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [""]  # what the function would see in an executor
    try:
        world = _world(ranks, runner)
    except BaseException as error:  # noqa: BLE001  told to the executor, whatever it is
        _fail(folder, _rank_told(), error, state)
    state[0] = _BEGUN
    try:
        _take_part(world, folder)
    except BaseException as error:  # noqa: BLE001
        _fail(folder, world.rank, error, state)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    state[0] = _DONE
    sys.exit(0)


def _die_with_parent() -> None:
    """Launchers only know the first process."""
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _rank_told() -> int:
    """The number of this rank before MPI has begun; -1 if nobody has told it."""
    for name in _RANK_VARIABLES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return -1


def _remedy(runner: str) -> str:
    return (
        f"mpi4py has to use the MPI library that belongs to {runner}. Packages of mpi4py from PyPI take the first "
        f"libmpi that they find (MPI4PY_LIBMPI=PATH OF libmpi.so names one); others are built for one MPI"
    )


def _world(ranks: int, runner: str) -> Any:
    """MPI.COMM_WORLD. Raises ProgramError if there is none, or if it is not the one that the runner has made."""
    where = f"of {sys.executable} on {os.uname().nodename}"
    remedy = _remedy(runner)
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        if error.name != "mpi4py":
            raise
        raise ProgramError(
            f"a Python function on MPI ranks needs mpi4py, which {where} is not installed; pip install mpi4py does that"
        ).for_good() from None
    except (ImportError, RuntimeError, OSError) as error:
        raise ProgramError(f"mpi4py {where} cannot be imported: {str(error).splitlines()[0]}; {remedy}") from None
    world = MPI.COMM_WORLD
    if world.size != ranks:
        library = MPI.Get_library_version().replace("\0", "").splitlines()[0]
        raise ProgramError(
            f"{runner} has started {ranks} ranks, but for mpi4py {where} there are {world.size}: it uses another MPI, "
            f"{library}; {remedy}"
        )
    return world


# ---------------------------------------------------------------------- the call


def _take_part(world: Any, folder: str) -> None:
    from taskflow.data.serialization import encode
    from taskflow.node.interpreter import load_function

    definition, arguments, laid_out = _call(world, folder)
    value = load_function(definition)(*arguments.args, **arguments.kwargs)
    if type(value).__name__ == "generator":
        value = list(value)
    values = world.gather(encode(value, f"the value of rank {world.rank}").blob())
    shares = {key: arguments[key] for key in laid_out if laid_out[key]}
    gathered = world.gather(encode(shares, "a collection").blob() if shares else None)
    if world.rank == 0:
        _write_result(folder, values, gathered, arguments, laid_out)


def _call(world: Any, folder: str) -> tuple[Any, Arguments, dict[int | str, bool]]:
    """The definition of the function, the arguments of this rank, and which of those with a layout are outputs.

    Of these, ranks get their own elements only.
    """
    from taskflow.data.serialization import decode_blob, encode

    arguments = None
    if world.rank:
        definition, blob, layouts, paths = world.bcast(None)
    else:
        definition, blob, layouts, paths, _ = _call_file(folder)
        if layouts:
            arguments = Arguments(*decode_blob(blob))
            collections = {key: arguments[key] for key in layouts}
            for key in layouts:
                arguments[key] = None
            blob = encode((arguments.args, arguments.kwargs), "the arguments").blob()
        world.bcast((definition, blob, layouts, paths))
    if arguments is None:
        arguments = Arguments(*decode_blob(blob))
    for key, (layout, _) in layouts.items():
        shares = None
        if world.rank == 0:
            shares = [
                encode([collections[key][place] for place in places], "a collection").blob()
                for places in layout.places_of_all(world.size, len(collections[key]))
            ]
        arguments[key] = layout.given(decode_blob(world.scatter(shares)))
    if paths:
        rank_files.bring(world, paths, arguments)
    return definition, arguments, {key: written for key, (_, written) in layouts.items()}


def _call_file(folder: str) -> Any:
    """Definition, arguments, layouts, paths among the arguments, and which are outputs: see `runners.ranks`."""
    with open(os.path.join(folder, CALL), "rb") as file:
        return pickle.load(file)


def _write_result(
    folder: str, values: list[Any], gathered: list[Any], arguments: Arguments, laid_out: dict[int | str, bool]
) -> None:
    """What the executor is given: the value of each rank, and what rank 0 has left of what it may write.

    Of a collection with a layout, each element as its owner has left it.
    """
    from taskflow.data.serialization import decode_blob, encode

    _, blob, layouts, _, written = _call_file(folder)
    left = {key: arguments[key] for key in written if key not in laid_out}
    if any(laid_out.values()):
        before = Arguments(*decode_blob(blob))
        owned = [decode_blob(shares) for shares in gathered]
        for key, writes in laid_out.items():
            if writes:
                left[key] = layouts[key][0].merged(before[key], [shares[key] for shares in owned])
    path = os.path.join(folder, RESULT)
    with open(f"{path}.part", "wb") as file:
        pickle.dump((values, encode(left, "an argument of rank 0").blob()), file, protocol=5)
    os.rename(f"{path}.part", path)


# ---------------------------------------------------------------------- what goes wrong


def _fail(folder: str, rank: int, error: BaseException, state: mmap.mmap) -> NoReturn:
    """Tell the executor of an exception, and end; the first process then has the launcher end all others."""
    from taskflow.node.exceptions import encode_error

    # A rank that is left alone fails, too: it is not the one to be blamed.
    kind = "left" if type(error).__module__.startswith("mpi4py") else "raised"
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    content: Any = encode_error(error)
    if isinstance(error, SystemExit):
        kind, content = "ended", (os.getpid(), f"has called sys.exit({error.code!r})", content[1])
    report(folder, kind, rank, content)
    state[0] = _TOLD
    os._exit(1)


def report(folder: str, kind: str, rank: int, content: Any) -> None:
    """Tell the executor what has happened to a rank: ``kind`` is "raised", "left", "ended" or "lost"."""
    host = os.uname().nodename
    data = pickle.dumps((time.time(), kind, rank, host, content))
    path = os.path.join(folder, f"{REPORT}{os.getpid()}")
    try:
        with open(f"{path}.part", "wb") as file:
            file.write(data)
        os.rename(f"{path}.part", path)
    except FileNotFoundError:
        text = base64.b64encode(data).decode()
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        for number, piece in enumerate(pieces):
            os.write(2, f"\n{LINE} {host}-{os.getpid()} {number}/{len(pieces)} {piece}\n".encode())


_REPORT_LINE = re.compile(rb"\n?" + LINE.encode() + rb" (\S+) (\d+)/(\d+) ([A-Za-z0-9+/=]+)\n")


def reports_in(output: bytes) -> tuple[list[Any], bytes]:
    """The reports in the error output of a launcher, and the output without them. A torn one is left where it is."""
    pieces: dict[bytes, dict[int, bytes]] = {}
    counts: dict[bytes, int] = {}
    for match in _REPORT_LINE.finditer(output):
        sender, number, count, piece = match.groups()
        pieces.setdefault(sender, {})[int(number)] = piece
        counts[sender] = int(count)
    whole = {sender for sender, found in pieces.items() if len(found) == counts[sender]}
    found = []
    for sender in sorted(whole):
        with contextlib.suppress(ValueError, pickle.UnpicklingError, EOFError):
            found.append(pickle.loads(base64.b64decode(b"".join(pieces[sender][n] for n in sorted(pieces[sender])))))
    rest = _REPORT_LINE.sub(lambda match: b"" if match.group(1) in whole else match.group(), output)
    return found, rest
