"""What an executor whose task calls tasks and the master say to each other, on the data socket.

These messages are lists, to tell them from the tuples of `wire.messages`.

Executor to master: [task id, operation, ...]; the task is the one that runs, the parent.
  (O_FUNCTION, number, fields)     the executor will call this task function ``number``; fields of its record
  (O_CALL, ...)                    a call: see `drivers.nesting.Nest.call`
  (O_DROP, handle)                 the parent can no longer name this datum
  (O_WAIT, request, handles)       answer when these data can be read
  (O_LOOK, request, handle)        answer at once, with nothing if it cannot be read
  (O_ROOM, request)                answer when the parent has not too many unfinished children
  (O_SESSION, request, name, args) answer with what this operation of the session gives
  (O_GROUP, name)                  calls that name this group mean a new one from now on
  (O_FORGET, path)                 the file at the path is none that tasks know
  (O_ABANDON, request)             no answer is needed any more
  (O_GIVEN, task ids)              tasks that were queued behind the parent and have not begun

Master to executor: [answer, ...]
  (request, state or True or False, value)  what was asked for; False: the value is an encoded exception
  (0, True, None)                           the parent's computing unit is lent to others: give back what is queued
  (0, False, None)                          it is the parent's again

A *handle* is the executor's number of a datum: a result of a child, or an object that children write. Files are known
by their paths. Of a datum that was waited for, the answer gives (handle, state of the version, value, why its task's
failure was ignored or None); a failure as (encoded exception, id of the task, whether it is a cancellation).
"""

O_FUNCTION = "function"
O_CALL = "call"
O_DROP = "drop"
O_WAIT = "wait"
O_LOOK = "look"
O_ROOM = "room"
O_GROUP = "group"
O_FORGET = "forget"
O_SESSION = "session"
O_ABANDON = "abandon"
O_GIVEN = "given"
