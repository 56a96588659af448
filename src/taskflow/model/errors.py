"""Every error taskflow raises of itself. A message says what happened, to which task and line, and what to do."""

from __future__ import annotations


class TaskflowError(Exception):
    """Root of taskflow's own errors. A user's exception raised in a task keeps its own type instead."""


class ArgumentError(TaskflowError, TypeError, ValueError):
    """A decorator or a function of ours was given an argument that makes no sense."""


class RequirementsError(TaskflowError):
    """A task needs what no node has, so it can never run. The message says what is requested and what there is."""


class ClusterFileError(TaskflowError):
    """A file that describes machines makes no sense. The message says, for each problem, file, line and remedy."""


class NotRunningError(TaskflowError):
    """The session was stopped: no task can be submitted and nothing can be waited for."""


class NoSessionError(TaskflowError):
    """Something needs a session (a program started by runtask, or `start`), and there is none."""


class FutureUsedAsValueError(TaskflowError, TypeError):
    """A future was used as if it were the value it stands for."""


class SerializationError(TaskflowError, TypeError):
    """A value that has to travel cannot be pickled; the message names the path to the culprit.

    ``path`` is that path (``args[1].model.lock``), ``reason`` says what is there and what to do.
    """

    path = ""
    reason = ""

    @classmethod
    def at(cls, path: str, message: str, reason: str) -> SerializationError:
        """An error about what lies at the path."""
        error = cls(message)
        error.path = path
        error.reason = reason
        return error

    def moved(self, old: str, new: str) -> SerializationError:
        """The same error with the beginning of its path replaced."""
        path = self.path.replace(old, new, 1)
        return SerializationError.at(path, f"{path} {self.reason}" if self.path else str(self), self.reason)


class ExecutorDiedError(TaskflowError):
    """The process that ran the task died each time it was tried. The message is its death certificate."""


class NodeLostError(TaskflowError):
    """A node was lost: it, its agent or the network to it is gone; or none could be had at all."""


class NoNodeError(TaskflowError):
    """No node is left that could ever run the task."""


class TransferError(TaskflowError):
    """Data that a task needs could not be brought to its node."""


class FindingsError(TaskflowError):
    """The check of a run found tasks that do other things with their data than they declare."""


class MissingOutputError(TaskflowError):
    """A task ended without making an output it declared (a file, a directory, or a returned value)."""


class DeletedDataError(TaskflowError):
    """A datum was used after it had been deleted."""


class COMPSsException(TaskflowError):  # noqa: N818  PyCOMPSs' name
    """Raise it in a task to end the work of its groups: their other tasks are cancelled.

    The first `compss_barrier_group` of each group (or the end of its ``with`` block) raises it in the main program. It
    is never retried, whatever the failure policy. ``target_direction`` is kept for programs that give it.
    """

    def __init__(self, message: object = "", target_direction: object = -1) -> None:
        super().__init__(message)
        self.message = str(message)
        self.target_direction = target_direction

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.target_direction)


class TimeOutError(TaskflowError):
    """An attempt of a task took longer than its ``time_out``. Raised in the task's body, too.

    Not a TimeoutError: that is an OSError, which bodies catch round their work with files.
    """


class CancelError(TaskflowError):
    """Raised in the body of a running task when it is cancelled."""


class WallClockError(TaskflowError):
    """The time that the program gave itself with `compss_set_wall_clock` is over."""


class TaskflowWarning(RuntimeWarning):
    """Something that is no error, but may not be what the program means."""


class ArgumentWarning(TaskflowWarning):
    """An argument of a decorator has no effect, or an old spelling."""


class ProgramError(TaskflowError):
    """A program that a task runs could not be started, or ended with an exit value that counts as a failure.

    ``is_final``: another attempt would come to the same, so there is none, whatever the failure policy.
    """

    is_final = False

    def for_good(self) -> ProgramError:
        """The same error, as a final one."""
        self.is_final = True
        return self


class ServiceError(TaskflowError):
    """A request to a service failed: no answer could be had, or it was not one of success, or not what was declared.

    ``status`` is the number that the service has answered with; 0: there was no answer.
    """

    status = 0

    @classmethod
    def answered(cls, status: int, message: str) -> ServiceError:
        """The service has answered with that status."""
        error = cls(message)
        error.status = status
        return error


class ContainerError(TaskflowError):
    """An engine or an image of containers is missing or of no use on a node. The message says which, and the remedy."""


class MemoryLimitError(TaskflowError, MemoryError):
    """A task needed more memory than its constraint ``memory_size`` allows, and was stopped."""


class UnavailableError(TaskflowError, NotImplementedError):
    """Something that programs may ask for is not available in this version."""


class RemoteTraceback(Exception):  # noqa: N818  it is no error but the story of one
    """Carries the traceback of the executor; shown as the cause of the exception that the task raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class PicklableStandIn(TaskflowError):  # noqa: N818  it stands for an error
    """Stands in for a task's exception that could not be sent back; the message keeps its type and text."""
