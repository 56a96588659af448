"""S15 Binaries, S16 Input and output beside programs, S34 Programs round programs, S35 Programs described in files; and
the decorators of programs that start others.

Each is a program as users of PyCOMPSs write it; it runs in parallel and sequentially, and checks itself.
"""

IMPORTS = """
    import os, sys, stat
    from pycompss.api.api import *
    from pycompss.api.binary import binary, Binary
    from pycompss.api.constraint import constraint
    from pycompss.api.parameter import *
    from pycompss.api.task import task
    from pycompss.util.context import CONTEXT
    from pycompss.util.exceptions import NotInPyCOMPSsException, PyCOMPSsException

    def write(path, text):
        with open(path, "w") as file:
            file.write(text)

    def read(path):
        with compss_open(path) as file:
            return file.read()

    def script(path, text):
        write(path, "#!/bin/sh\\n" + text + "\\n")
        os.chmod(path, 0o755)
"""


def test_s15_binaries(program):
    program(
        IMPORTS
        + """
    os.makedirs("scripts")
    script("scripts/private.sh", "exit $1")
    script("scripts/string.sh", 'test "$1" = "this is a string with spaces" && test $# = 1')
    script("scripts/names.sh", 'test $(basename "$1") = my_file.txt && test "${2%%=*}" = --prefix &&'
           ' test $(basename "${2#*=}") = other.txt && test "$3" = a_name && echo ok > "$4"')

    @binary(binary="date", working_dir="/tmp")
    @task()
    def my_date(dprefix, param):
        pass

    @constraint(computing_units="1")
    @binary(binary="date", args="-d {{param}} +%Y-%m-%d")
    @task(out=FILE_OUT_STDOUT)
    def date_of(param, out):
        pass

    @binary(binary="date", args="-d 20200102 +%d", workingDir="/tmp")
    @task(out={Type: FILE_OUT, StdIOStream: STDOUT}, returns=int)
    def fixed_date(out):
        pass

    @Binary(binary="sed", working_dir=".")
    @task(file=FILE_INOUT)
    def my_sed(flag, expression, file):
        pass

    @binary(binary="grep", working_dir=".")
    @task(infile={Type: FILE_IN_STDIN}, result={Type: FILE_OUT_STDOUT})
    def my_grep(keyword, infile, result):
        pass

    @binary(binary="ls")
    @task(hide={Type: FILE_IN, Prefix: "--hide="}, sort={Type: IN, Prefix: "--sort="}, returns=int)
    def my_ls(flag, hide, sort):
        pass

    @binary(binary="./private.sh", working_dir=os.getcwd() + "/scripts/", fail_by_exit_value=False)
    @task(returns=int)
    def private(code):
        pass

    @binary(binary="./string.sh", working_dir=os.getcwd() + "/scripts/")
    @task(returns=int)
    def check_string(text):
        pass

    @binary(binary="./names.sh", working_dir=os.getcwd() + "/scripts/")
    @task(f=FILE_IN, fp={Type: FILE_IN, Prefix: "--prefix="}, fout=FILE_OUT, hidden={Prefix: "#"}, returns=1)
    def check_names(f, fp, name, fout, hidden="not there"):
        pass

    @binary(binary="pwd", working_dir="{{wd}}/sub")
    @task(out=FILE_OUT_STDOUT)
    def where(wd, out):
        pass

    @binary(binary="tar", args="-cf {{out}} src/*.txt", working_dir=os.getcwd())
    @task(out=FILE_OUT, returns=1)
    def pack(out):
        pass

    @task(returns=1)
    def made(value):
        return value

    assert my_date("-d", "next friday") is None
    date_of("20200103", os.path.abspath("date1"))
    assert read("date1") == "2020-01-03\\n"
    date_of(made("20200104"), "date2")
    assert read("date2") == "2020-01-04\\n"
    assert compss_wait_on(fixed_date("date3")) == 0
    assert read("date3") == "02\\n"

    write("sed.txt", "Hi, this a simple test!")
    my_sed("-i", "s/Hi/HELLO/g", "sed.txt")
    assert read("sed.txt") == "HELLO, this a simple test!"

    write("in.txt", "keyword one\\nnothing\\nkeyword two\\n")
    my_grep("keyword", "in.txt", "out.txt")
    assert read("out.txt") == "keyword one\\nkeyword two\\n"

    assert compss_wait_on(my_ls("-l", "in.txt", "size")) == 0
    assert compss_wait_on(private(123)) == 123
    assert compss_wait_on(check_string("this is a string with spaces")) == 0
    os.makedirs("elsewhere")
    write("my_file.txt", "1")
    write("elsewhere/other.txt", "2")
    assert compss_wait_on(check_names("my_file.txt", "elsewhere/other.txt", "a_name", "names.txt")) == 0
    assert read("names.txt") == "ok\\n"

    where(os.path.abspath("wd"), "where.txt")
    assert read("where.txt").strip() == os.path.abspath("wd/sub")
    os.makedirs("src")
    for name in "ab":
        write(f"src/{name}.txt", name)
    assert compss_wait_on(pack("all.tar")) == 0
    import tarfile
    assert tarfile.open(compss_open("all.tar").name).getnames() == ["src/a.txt", "src/b.txt"]
    compss_barrier()
    """
    )


def test_s15_a_failing_binary_follows_its_policy(program):
    if not program.parallel:
        return
    program(
        IMPORTS
        + """
    from pycompss.api.on_failure import on_failure

    @on_failure(management="IGNORE", returns=-1)
    @binary(binary="sh", args="-c {{command}}", fail_by_exit_value="true")
    @task(returns=int)
    def ignored(command):
        pass

    @binary(binary="sh", args="-c {{command}}", fail_by_exit_value="$FAILS")
    @task(returns=int, on_failure="FAIL")
    def failing(command):
        pass

    assert compss_wait_on(ignored("exit 3")) == -1
    try:
        compss_wait_on(failing("echo the cause >&2; exit 4"))
    except PyCOMPSsException as error:
        assert "@binary of task failing (" in str(error) and "the cause" in str(error)
    else:
        raise AssertionError("it did not fail")
    """.replace("$FAILS", "1")
    )


def test_s16_an_io_program_runs_beside_the_one_that_has_the_only_unit(runtask):
    runtask.write(
        IMPORTS
        + """
    from pycompss.api.IO import IO

    @binary(binary="sh", args=["-c", "until test -e $0; do sleep 0.01; done", "{{path}}"])
    @task(returns=1)
    def compute(path):
        pass

    @IO()
    @binary(binary="touch")
    @task(returns=1)
    def announce(path):
        pass

    done = compute(os.path.abspath("announced"))
    assert compss_wait_on(announce(os.path.abspath("announced"))) == 0
    assert compss_wait_on(done) == 0
    """
    )
    ended = runtask.words("--workers=1", "--io_executors=1", "app.py")
    assert ended.returncode == 0, ended.stderr


def test_s34_prolog_and_epilog_of_a_program(program):
    program(
        IMPORTS
        + """
    from pycompss.api.epilog import epilog
    from pycompss.api.prolog import prolog

    @task(returns=1)
    def made(value):
        return value

    @prolog(binary="cp", args="{{given}} input")
    @epilog(binary="cp", args="output {{result}}")
    @binary(binary="sed", args=["s/{{old}}/{{new}}/w output", "input"])
    @task(given=FILE_IN, result=FILE_OUT, returns=1)
    def replaced(given, old, new, result):
        pass

    @prolog(binary="false", fail_by_exit_value=False)
    @epilog(binary="false")
    @binary(binary="sh", args="-c {{command}}", fail_by_exit_value=False)
    @task(returns=1)
    def in_spite(command):
        pass

    write("given", "one two\\n")
    assert compss_wait_on(replaced("given", "two", made("three"), "result")) == 0
    assert read("result") == "one three\\n"
    assert compss_wait_on(in_spite("exit 5")) == 5
    """
    )


def test_s35_a_program_described_in_a_file(program):
    if not program.parallel:
        return
    program(
        IMPORTS
        + """
    import json
    from pycompss.api.software import software

    write("binary.json", json.dumps({
        "execution": {"type": "binary", "binary": "sh", "args": "-c {{command}}", "fail_by_exit_value": False},
        "parameters": {"out": "FILE_OUT_STDOUT", "returns": "int"},
        "constraints": {"computing_units": "1"},
        "prolog": {"binary": "echo", "args": "before"},
        "epilog": {"binary": "echo", "args": "after"},
    }))

    @software(config_file="binary.json")
    def shell(command, out):
        pass

    @software(config_file="binary.json")
    @task()
    def another(command, out):
        pass

    assert compss_wait_on(shell("echo said; exit 6", "out")) == 6
    assert read("out") == "said\\n"
    assert compss_wait_on(another("exit 7", "more")) == 7
    """
    )


def test_a_nested_application(program):
    """The scenario `1_decorator_compss`: exit values with and without failing by them."""
    program(
        IMPORTS
        + """
    from pycompss.api.compss import COMPSs, compss

    write("inner.py", "\\n".join([
        "import sys",
        "from pycompss.api.api import compss_wait_on",
        "from pycompss.api.task import task",
        "@task(returns=int)",
        "def increment(value):",
        "    return value + 1",
        "value = compss_wait_on(increment(int(sys.argv[1])))",
        "print('inner:', value)",
        "sys.exit(value)",
    ]))

    @compss(runcompss="", flags="--summary", app_name=os.getcwd() + "/inner.py", worker_in_master="true",
            computing_nodes="1", fail_by_exit_value=False)
    @task(returns=int)
    def inner(value):
        pass

    @constraint(computing_units="2")
    @COMPSs(appName="$INNER", workingDir="wd")
    @task(returns=int, on_failure="FAIL")
    def succeeding(value):
        pass

    if CONTEXT.in_pycompss():
        assert compss_wait_on(inner(3)) == 4
        assert compss_wait_on(succeeding(-1)) == 0
        try:
            compss_wait_on(succeeding(0))
        except PyCOMPSsException as error:
            assert "ended with exit value 1" in str(error)
        else:
            raise AssertionError("it did not fail")
    else:
        try:
            inner(3)
        except NotInPyCOMPSsException:
            pass
        else:
            raise AssertionError("it needs a session")
    """.replace("$INNER", f"{program.folder}/inner.py")
    )


def test_launchers(program):
    """The scenarios `1_decorator_ompss`, `1_decorator_julia` and `1_decorator_decaf`."""
    program(
        IMPORTS
        + """
    from pycompss.api.decaf import Decaf, decaf
    from pycompss.api.julia import Julia, julia
    from pycompss.api.ompss import OmpSs, ompss

    write("script.jl", 'echo "$1" > "$2"')
    write("flow.py", "import os, sys; open('run.sh', 'w').write('#!/bin/sh\\\\nexit ' + sys.argv[1])")

    @constraint(computing_units="2")
    @ompss(binary="sh", fail_by_exit_value=False)
    @task(returns=int)
    def solver(flag, command):
        pass

    @julia(script="script.jl", executor="sh", working_dir=".")
    @task(out=FILE_OUT, returns=int)
    def scripted(word, out):
        pass

    @decaf(dfScript="flow.py", dfExecutor="run.sh", dfLib="null", runner=sys.executable, fail_by_exit_value=False)
    @task(returns=int)
    def flow(code):
        pass

    if CONTEXT.in_pycompss():
        assert compss_wait_on(solver("-c", "exit $OMP_NUM_THREADS")) == 2
        assert compss_wait_on(scripted("a word", "out")) == 0
        assert read("out") == "a word\\n"
        assert compss_wait_on(flow(8)) == 8
    else:
        for call in (lambda: solver("-c", "exit"), lambda: scripted("x", "out"), lambda: flow(1)):
            try:
                call()
            except NotInPyCOMPSsException:
                continue
            raise AssertionError("it needs a session")
    """
    )
