"""Tasks in containers of Apptainer on nodes: a function of a module, one of the main script, a program.

The image is the first argument.
"""

import os
import socket
import sys
from pathlib import Path

import helper
from pycompss.api.api import compss_wait_on, compss_wait_on_file
from pycompss.api.binary import binary
from pycompss.api.constraint import constraint
from pycompss.api.container import container
from pycompss.api.parameter import FILE_IN, FILE_OUT, FILE_OUT_STDOUT
from pycompss.api.task import task

IMAGE = sys.argv[1]


@constraint(computing_units=2)
@container(engine="APPTAINER", image=IMAGE)
@task(returns=1, source=FILE_IN, made=FILE_OUT)
def look(source, made):
    Path(made).write_text(Path(source).read_text().upper())
    return socket.gethostname(), os.path.exists("/image-of-the-test"), os.environ["COMPSS_NUM_THREADS"]


@container(engine="APPTAINER", image=IMAGE)
@binary(binary="cat", args="{{source}}")
@task(source=FILE_IN, out=FILE_OUT_STDOUT, returns=int)
def cat(source, out):  # noqa: ARG001  they are the program's
    raise AssertionError("the body is not run")


double = container(engine="APPTAINER", image=IMAGE)(task(returns=1, on_failure="FAIL")(helper.double))


@container(engine="APPTAINER", image="/no/such/image.sif")
@task(returns=1, on_failure="FAIL")
def nowhere():
    raise AssertionError("there is no image")


if __name__ == "__main__":
    with open("source.txt", "w") as file:
        file.write("text\n")
    seen = [look("source.txt", f"made{number}.txt") for number in range(4)]
    doubled = [double(number) for number in range(4)]
    code = cat("source.txt", "out.txt")
    print("seen", *sorted(set(compss_wait_on(seen))))
    print("doubled", *compss_wait_on(doubled))
    compss_wait_on_file("out.txt")
    compss_wait_on_file("made3.txt")
    print("files", compss_wait_on(code), Path("out.txt").read_text().strip(), Path("made3.txt").read_text().strip())
    try:
        compss_wait_on(nowhere())
    except Exception as error:  # noqa: BLE001  the test looks at it
        print("missing", type(error).__name__, str(error).replace("\n", " "))
