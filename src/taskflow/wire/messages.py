"""The messages, and how a task's arguments are written in them.

Master to executor, one frame:   (ack, functions, drops, movable, publish, tasks, hurry)
  ack        number of the last frame received from the executor; queued in order with the tasks
  functions  [(function id, name, definition, number of results, seconds an attempt may take or 0)]
  drops      keys of held results that are no longer needed
  movable    keys of held results whose only reader may consume them
  publish    keys of held results that others need
  tasks      [(task id, function id, args)]: plain arguments only,
             [(task id, function id, args, inputs)]: inputs are [(position, node)] that are only read, or
             [(task id, function id, args, kwargs, params, returns, durable)]; after these, for a task with a demand,
             environment variables as a dict
  hurry      somebody has nothing to do: results should come at once rather than together

Executor to master, one frame:
  (number, plain, rich, failed, skipped, published, gone, consumed, costs, journal, output)
  plain      {task id: value} of tasks with at most one output whose value is plain
  rich       {task id: [(version state, value)]}; of a file (path, bytes)
  failed     [(task id, encoded exception)]; (pickle, traceback), and True for that of a task it has called
  skipped    [(task id, key of the input that was not there)]
  published  {key: segment descriptor};  gone: keys that could not be published;  consumed: keys used up in place
  costs      {function id: [count, seconds]}
  journal    the journal's line about what ended, already encoded, or nothing
  output     [(stream 1 or 2, text)]

Plain containers of plain values only, so a frame is pickled and unpickled by the C code in one go.

An argument that is not plain is a *node*; ``params`` pairs a position or keyword with one:
  (N_VALUE, value, writes)                 a plain value
  (N_BLOB, blob, hidden nodes, writes)     a pickled value
  (N_SEGMENT, descriptor, hidden nodes, writes)
  (N_LOCAL, key, movable, writes)          made by a task on the same executor
  (N_LIST, [nodes])                        a collection; the task sees a list
  (N_DICT, [(key node, value node)])
  (N_NEW, blob of the class, writes)       OUT object: an empty instance
  (N_PATH, mode, source, target, directory, writes)
  (N_SAME, index, False)                   the very object of the node with ``writes`` of that index
The values of nodes with ``writes`` are the task's outputs after its returned values, in the order met.
"""

N_VALUE = 0
N_BLOB = 1
N_SEGMENT = 2
N_LOCAL = 3
N_LIST = 4
N_DICT = 5
N_NEW = 6
N_PATH = 7
N_SAME = 9

# Nodes of a task that has not been sent name versions by their index in the task's reads and writes:
#   (N_READ, read index, writes)
#   (N_BLOB | N_SEGMENT, blob or Segment, (read index of each hidden future, ...), writes)
#   (N_PATH, direction, read index or -1, write index or -1, directory, base name)
N_READ = 8

# Modes of N_PATH.
P_COPY = 0  #: read: the task gets a private copy named like the target, in the executor's scratch folder
P_DIRECT = 1  #: read in place
P_OUT = 2  #: the task makes the target
P_INOUT = 3  #: the target begins as a copy of the source
P_SHARED = 4  #: several tasks write the same target at once; it begins as a copy of the source

# The control socket: one request and one answer at a time.
C_RECALL = b"R"  #: + 4 bytes n: give back up to n queued tasks and send all results; answer: pickled list of ids
C_CANCEL = b"C"  #: + 4 bytes task id: it is cancelled; no answer but the report, as failed or skipped

# The page of memory that an executor shares with the master: words of 8 bytes.
PAGE_RUNNING = 0  #: id of the running task; 0: none; -n: it loads function n
PAGE_DEADLINE = 1  #: when the running task should end, by the monotonic clock in nanoseconds; 0: any time
PAGE_MEMORY = 2  #: bytes that the running task may use; 0: any
PAGE_MEMORY_BEFORE = 3  #: bytes that its executor had before
