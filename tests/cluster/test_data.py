"""Objects, files and directories between real agents: over connections, since every node has folders of its own."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import taskflow
from taskflow import (
    COLLECTION_FILE_IN,
    COLLECTION_IN,
    COMMUTATIVE,
    DIRECTORY_IN,
    DIRECTORY_INOUT,
    DIRECTORY_OUT,
    FILE_CONCURRENT,
    FILE_IN,
    FILE_INOUT,
    FILE_OUT,
    INOUT,
    compss_barrier,
    compss_delete_file,
    compss_open,
    compss_wait_on,
    compss_wait_on_directory,
    compss_wait_on_file,
    constraint,
    runtime,
    task,
)
from taskflow.model.cluster import Cluster, ClusterOptions
from tests.cluster.agents import Agents, nodes, setup, wait_until

BIG = 300_000  # numbers: far too many to travel in a message


@pytest.fixture
def agents(tmp_path):
    """Starts sessions; at the end nothing may be left of them."""
    it = Agents(tmp_path)
    yield it
    taskflow.stop(cancel=True)
    for process in it.processes.values():
        process.close()
    assert it.left_behind() == []


@pytest.fixture
def three(agents):
    """Three nodes of two units each, and none at home."""
    agents.start(setup("near"), setup("far"), setup("farther"))
    wait_until(lambda: len(nodes()) == 3)
    return agents


def journal():
    """The records of the run up to now."""
    session = runtime.session
    with session.engine.lock:
        session.journal.flush()
    return [json.loads(line) for line in Path(session.run_dir, "journal.jsonl").read_text().splitlines()]


def moves():
    """What was moved: (from, to, bytes)."""
    return [(record["from"], record["to"], record["bytes"]) for record in journal() if record["e"] == "moved"]


def on(name):
    """A constraint that only one of the nodes satisfies."""
    return constraint(host=name)


@task(returns=1)
def make(seed):
    return np.arange(seed, seed + BIG, dtype=np.int64)


@task(returns=1)
def total(*arrays):
    time.sleep(0.02)
    return int(sum(array.sum() for array in arrays))


@task(returns=1)
def add(one, other):
    return one + other


def sum_of(*seeds):
    return int(sum(np.arange(seed, seed + BIG).sum() for seed in seeds))


@pytest.mark.usefixtures("three")
def test_large_arguments_of_the_main_program_reach_the_nodes():
    array = np.arange(BIG)
    assert compss_wait_on([total(array) for _ in range(12)]) == [sum_of(0)] * 12
    assert len(nodes()) == 3
    to = [move[1] for move in moves()]
    assert len(to) == len(set(to)) <= 3  # once to each node, however many tasks read it there


@pytest.mark.usefixtures("three")
def test_a_large_argument_that_changes_between_calls():
    array = np.zeros(BIG)
    results = []
    for number in range(5):
        array[:] = number
        results.append(total(array))
    assert compss_wait_on(results) == [number * BIG for number in range(5)]


@pytest.mark.usefixtures("three")
def test_large_results_go_from_node_to_node_and_home():
    arrays = [make(seed) for seed in range(6)]
    while len(arrays) > 1:
        arrays.append(add(arrays.pop(0), arrays.pop(0)))
    result = compss_wait_on(arrays[0])
    assert (result == sum(np.arange(seed, seed + BIG) for seed in range(6))).all()


@pytest.mark.usefixtures("three")
def test_collections_of_large_objects():
    @task(returns=1, parts=COLLECTION_IN)
    def joined(parts):
        return int(sum(part.sum() for part in parts))

    parts = [make(0), np.arange(5, 5 + BIG), [make(1), 3, np.arange(BIG)][0]]
    assert compss_wait_on(joined(parts)) == sum_of(0, 5, 1)


class Box:
    def __init__(self):
        self.data = np.zeros(BIG)
        self.steps = 0


@task(box=INOUT)
def step(box):
    time.sleep(0.02)
    box.data += 1
    box.steps += 1


@task(box=COMMUTATIVE)
def step_commutative(box):
    box.data += 1
    box.steps += 1


@task(returns=1)
def look(box):
    return box.steps, float(box.data.sum())


@pytest.mark.usefixtures("three")
def test_large_inout_objects_go_where_they_are_needed():
    box = Box()
    seen = []
    for _ in range(6):
        step(box)
        seen.append(look(box))
    assert compss_wait_on(seen) == [(count, count * float(BIG)) for count in range(1, 7)]
    box = compss_wait_on(box)
    assert (box.steps, box.data.sum()) == (6, 6 * BIG)


@pytest.mark.usefixtures("three")
def test_large_commutative_objects():
    box = Box()
    for _ in range(8):
        step_commutative(box)
    box = compss_wait_on(box)
    assert (box.steps, box.data.sum()) == (8, 8 * BIG)


# ---------------------------------------------------------------------- files


@task(path=FILE_IN, returns=1)
def read(path):
    time.sleep(0.02)
    return Path(path).read_text(), os.path.basename(path)


@task(path=FILE_OUT)
def write(path, text):
    Path(path).write_text(text)


@task(path=FILE_INOUT)
def append(path, text):
    with open(path, "a") as file:
        file.write(text)


@task(source=FILE_IN, target=FILE_OUT)
def copy(source, target):
    Path(target).write_text(Path(source).read_text())


@pytest.mark.usefixtures("three")
def test_the_users_files_reach_the_nodes_under_their_names(tmp_path):
    path = tmp_path / "input file.txt"
    path.write_text("hello")
    assert compss_wait_on([read(str(path)) for _ in range(12)]) == [("hello", "input file.txt")] * 12
    to = [move[1] for move in moves()]
    assert len(to) == len(set(to)) <= 3


@pytest.mark.usefixtures("three")
def test_files_of_the_same_name_never_collide(tmp_path):
    paths = []
    for number in range(9):
        folder = tmp_path / f"folder {number}"
        folder.mkdir()
        (folder / "data.txt").write_text(f"in {number}")
        paths.append((str(folder / "data.txt"), str(folder / "out.txt")))
    for source, target in paths:
        copy(source, target)
    again = [read(target) for _, target in paths]
    assert compss_wait_on(again) == [(f"in {number}", "out.txt") for number in range(9)]
    taskflow.stop()
    assert [Path(target).read_text() for _, target in paths] == [f"in {number}" for number in range(9)]


@pytest.mark.usefixtures("three")
def test_chains_of_versions_of_one_file_over_the_nodes(tmp_path):
    path = str(tmp_path / "log.txt")
    write(path, "0")
    seen = []
    for number in range(1, 8):
        append(path, f" {number}")
        seen.append(read(path))
    texts = [text for text, _ in compss_wait_on(seen)]
    assert texts == [" ".join(map(str, range(number + 1))) for number in range(1, 8)]
    with compss_open(path) as file:
        assert file.read() == "0 1 2 3 4 5 6 7"


@pytest.mark.usefixtures("three")
def test_files_are_in_place_at_the_end(tmp_path):
    for number in range(6):
        write(str(tmp_path / f"out-{number}"), str(number))
    inout = tmp_path / "mine"
    inout.write_text("begin")
    append(str(inout), " end")
    taskflow.stop()
    assert [(tmp_path / f"out-{number}").read_text() for number in range(6)] == list("012345")
    assert inout.read_text() == "begin end"


@pytest.mark.usefixtures("three")
def test_a_file_that_is_waited_for_and_written_by_the_main_program(tmp_path):
    path = tmp_path / "turns.txt"
    write(str(path), "tasks")
    compss_wait_on_file(str(path))
    assert path.read_text() == "tasks"
    path.write_text("main")
    append(str(path), " tasks again")
    with compss_open(str(path), "a") as file:
        file.write(" main again")
    assert compss_wait_on(read(str(path)))[0] == "main tasks again main again"


@pytest.mark.usefixtures("three")
def test_concurrent_files_get_what_all_members_write(tmp_path):
    @task(path=FILE_CONCURRENT)
    def note(path, text):
        with open(path, "a") as file:
            file.write(text + "\n")

    path = str(tmp_path / "notes")
    write(path, "first\n")
    for number in range(6):
        note(path, str(number))
    text, _ = compss_wait_on(read(path))
    assert sorted(text.split()) == sorted(["first", *map(str, range(6))])


@pytest.mark.usefixtures("three")
def test_collections_of_files(tmp_path):
    @task(paths=COLLECTION_FILE_IN, returns=1)
    def joined(paths):
        return "".join(Path(path).read_text() for path in paths)

    paths = [str(tmp_path / f"piece-{number}") for number in range(5)]
    for number, path in enumerate(paths):
        if number % 2:
            Path(path).write_text(str(number))
        else:
            write(path, str(number))
    assert compss_wait_on(joined(paths)) == "01234"


@task(path=DIRECTORY_OUT)
def make_folder(path):
    os.makedirs(f"{path}/sub/empty")
    Path(f"{path}/sub/script.sh").write_text("#!/bin/sh\n")
    os.chmod(f"{path}/sub/script.sh", 0o700)
    os.symlink("sub/script.sh", f"{path}/link")


@task(path=DIRECTORY_INOUT)
def extend_folder(path, name):
    Path(path, name).write_text(name)


@task(path=DIRECTORY_IN, returns=1)
def list_folder(path):
    return sorted(os.path.relpath(found, path) for found in Path(path).rglob("*"))


@pytest.mark.usefixtures("three")
def test_directories_go_there_and_back(tmp_path):
    mine = tmp_path / "mine"
    (mine / "deep").mkdir(parents=True)
    (mine / "deep" / "old").write_text("old")
    for name in ("a", "b", "c"):
        extend_folder(str(mine), name)
    made = tmp_path / "made"
    make_folder(str(made))
    extend_folder(str(made), "new")
    assert compss_wait_on(list_folder(str(mine))) == ["a", "b", "c", "deep", "deep/old"]
    assert compss_wait_on(list_folder(str(made))) == ["link", "new", "sub", "sub/empty", "sub/script.sh"]
    compss_wait_on_directory(str(made))
    assert os.readlink(made / "link") == "sub/script.sh"
    assert os.stat(made / "sub" / "script.sh").st_mode & 0o777 == 0o700
    taskflow.stop()
    assert sorted(os.listdir(mine)) == ["a", "b", "c", "deep"]
    assert (mine / "deep" / "old").read_text() == "old"


@pytest.mark.usefixtures("three")
def test_copies_that_nobody_needs_are_removed(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("x" * 100_000)
    for number in range(5):
        out = str(tmp_path / f"{number}.txt")
        copy(str(path), out)
        array = compss_wait_on(make(number))
        assert array.sum() == sum_of(number)
        compss_wait_on_file(out)
        del array
    compss_barrier()

    def left():
        facts = [node.facts for node in nodes().values()]
        segments = sum(len(list(Path(fact["segments"]).glob("[!.]*"))) for fact in facts)
        outputs = [found for fact in facts for found in Path(fact["files"]).rglob("[0-9].txt")]
        return segments + len(outputs)

    wait_until(lambda: left() == 0, what="copies are left on the nodes")


def test_files_on_a_shared_disk_are_not_copied(agents, tmp_path):
    disk = tmp_path / "disk"
    (disk / "data").mkdir(parents=True)
    (disk / "data" / "in.txt").write_text("shared")
    (tmp_path / "mounted").symlink_to(disk)  # where the nodes see it
    private = tmp_path / "private.txt"
    private.write_text("mine")
    far = setup("far")
    far = dataclasses.replace(
        far, node=dataclasses.replace(far.node, disks=(("gpfs", str(tmp_path / "mounted")),))
    )  # fmt: skip
    taskflow.start(
        cluster=Cluster(nodes=(far,), home_disks=(("gpfs", str(disk)),)), cluster_options=ClusterOptions(),
        launch=agents.launch, run_dir=tmp_path / "run", progress=False,
    )  # fmt: skip
    assert compss_wait_on(read(str(disk / "data" / "in.txt"))) == ("shared", "in.txt")
    assert moves() == []
    assert compss_wait_on(read(str(private))) == ("mine", "private.txt")
    assert len(moves()) == 1


def test_tasks_run_where_their_large_files_are(agents, tmp_path):
    agents.start(setup("near", 2), setup("far", 2))
    wait_until(lambda: len(nodes()) == 2)

    @task(path=FILE_OUT)
    def make_file(path):
        time.sleep(0.05)
        with open(path, "wb") as file:
            file.truncate(256 << 20)

    @task(path=FILE_IN, returns=1)
    def size(path):
        time.sleep(0.05)
        return os.path.getsize(path)

    paths = [str(tmp_path / f"large-{number}") for number in range(6)]
    for path in paths:
        make_file(path)
    compss_barrier()
    assert compss_wait_on([size(path) for path in paths]) == [256 << 20] * 6
    assert len(moves()) <= 1
    for path in paths:
        compss_delete_file(path)


def test_a_broadcast_leaves_home_a_limited_number_of_times(agents):
    agents.start(*(setup(f"n{number}", 1) for number in range(4)))
    wait_until(lambda: len(nodes()) == 4)
    data = np.ones(100 << 17)  # 100 MiB

    @task(returns=1)
    def ends(array):
        time.sleep(0.2)
        return float(array[0] + array[-1])

    assert compss_wait_on([ends(data) for _ in range(8)]) == [2.0] * 8
    found = moves()
    assert len(found) == len({to for _, to, _ in found}) <= 4
    assert sum(source == 0 for source, _, _ in found) <= 3


def test_home_and_other_nodes_share_the_work(agents, tmp_path):
    agents.start(setup("far"), home=2)
    wait_until(lambda: len(nodes()) == 1)
    path = tmp_path / "in.txt"
    path.write_text("text")
    arrays = [make(seed) for seed in range(8)]
    assert compss_wait_on([total(array) for array in arrays]) == [sum_of(seed) for seed in range(8)]
    assert {text for text, _ in compss_wait_on([read(str(path)) for _ in range(12)])} == {"text"}


# ---------------------------------------------------------------------- failures


@pytest.mark.usefixtures("three")
def test_a_missing_input_file_is_an_error_of_the_call_or_the_task(tmp_path):
    path = tmp_path / "short-lived"
    path.write_text("x")

    @task(returns=1)
    def wait_a_moment():
        time.sleep(0.5)

    @task(path=FILE_IN, returns=1)
    def read_later(path, _):
        return Path(path).read_text()

    later = read_later(str(path), wait_a_moment())
    path.unlink()
    with pytest.raises(Exception, match="short-lived"):
        compss_wait_on(later)


def test_data_of_a_lost_node_are_made_again(agents):
    agents.start(setup("near"), setup("far"))
    wait_until(lambda: len(nodes()) == 2)
    arrays = [make(seed) for seed in range(8)]
    compss_barrier()
    os.kill(agents.pid("far"), signal.SIGKILL)
    assert compss_wait_on([total(array) for array in arrays]) == [sum_of(seed) for seed in range(8)]


def test_files_of_a_lost_node_are_made_again(agents, tmp_path):
    agents.start(setup("near"), setup("far"))
    wait_until(lambda: len(nodes()) == 2)
    for number in range(8):
        write(str(tmp_path / f"made-{number}"), str(number))
    compss_barrier()
    os.kill(agents.pid("far"), signal.SIGKILL)
    taskflow.stop()
    assert [(tmp_path / f"made-{number}").read_text() for number in range(8)] == list("01234567")


def test_a_node_that_is_lost_while_it_sends(agents):
    agents.start(setup("near", 1), setup("far", 1))
    wait_until(lambda: len(nodes()) == 2)

    @task(returns=1)
    def make_large(seed):
        return np.full(30 << 20, seed, dtype=np.uint8)

    @task(returns=1)
    def compare(one, other):
        return int(one[0]) + int(other[-1])

    pairs = [(make_large(number), make_large(number + 1)) for number in range(4)]
    compss_barrier()
    results = [compare(one, other) for one, other in pairs]
    time.sleep(0.05)
    os.kill(agents.pid("far"), signal.SIGKILL)
    assert compss_wait_on(results) == [2 * number + 1 for number in range(4)]


def test_nodes_that_cannot_reach_each_other_go_by_way_of_home(agents):
    agents.start(setup("near", 1), setup("far", 1))
    wait_until(lambda: len(nodes()) == 2)
    with runtime.session.engine.lock:
        for node in nodes().values():
            node.facts["data_port"] = 1
    arrays = [make(seed) for seed in range(6)]
    while len(arrays) > 1:
        arrays.append(add(arrays.pop(0), arrays.pop(0)))
    result = compss_wait_on(arrays[0])
    assert (result == sum(np.arange(seed, seed + BIG) for seed in range(6))).all()
    assert all(0 in move[:2] for move in moves())


def test_through_a_tunnel_data_come_over_the_main_programs_port(agents, tmp_path):
    agents.start(setup("near", 1), setup("far", 1), options=ClusterOptions(tunnel=True))
    wait_until(lambda: len(nodes()) == 2)
    array = np.arange(BIG)
    path = tmp_path / "out.txt"
    write(str(path), "through")
    made = add(array, make(1))
    assert (compss_wait_on(made) == array + np.arange(1, 1 + BIG)).all()
    assert compss_wait_on(read(str(path))) == ("through", "out.txt")
    assert runtime.session.engine.carrier._server is None
    compss_wait_on_file(str(path))
    assert path.read_text() == "through"


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 2 MB."""
    disk = tmp_path / "small"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    taskflow.stop(cancel=True)
    subprocess.run(["umount", str(disk)], check=True)


@task(returns=1)
def where():
    time.sleep(0.05)
    return Path(os.environ["TASKFLOW_RUN_DIR"]).name.rpartition("-")[0]


def test_tasks_with_more_data_than_there_is_room_for_run_elsewhere(agents, small_disk, tmp_path, capfd):
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (8 << 20))
    agents.start(setup("small", working_dir=str(small_disk)), setup("large"))
    wait_until(lambda: len(nodes()) == 2)

    @task(path=FILE_IN, returns=1)
    def size(path):
        time.sleep(0.1)
        return os.path.getsize(path)

    assert compss_wait_on([size(str(large)) for _ in range(8)]) == [8 << 20] * 8
    assert capfd.readouterr().err.count("no room for data on node small") == 1
    assert set(compss_wait_on([where() for _ in range(20)])) == {"small", "large"}  # it is there for others


def test_tasks_that_find_the_disk_full_are_tried_again_elsewhere(agents, small_disk):
    agents.start(setup("small", units=4, working_dir=str(small_disk)), setup("large", units=1))
    wait_until(lambda: len(nodes()) == 2)

    @task(returns=1)
    def write_much():
        path = Path(os.environ["TASKFLOW_RUN_DIR"], f"much-{os.getpid()}")
        try:
            return path.write_bytes(b"x" * (4 << 20))
        finally:
            path.unlink()

    assert compss_wait_on([write_much() for _ in range(60)]) == [4 << 20] * 60


@pytest.mark.usefixtures("three")
def test_files_that_are_deleted(tmp_path):
    path = tmp_path / "temporary"
    write(str(path), "x")
    text = read(str(path))
    compss_delete_file(str(path))
    assert compss_wait_on(text)[0] == "x"
    mine = tmp_path / "mine"
    mine.write_text("y")
    text = read(str(mine))
    compss_delete_file(str(mine))
    assert compss_wait_on(text)[0] == "y"
    taskflow.stop()
    assert not path.exists()
    assert not mine.exists()


@pytest.mark.usefixtures("three")
def test_files_of_tasks_whose_failure_is_ignored(tmp_path):
    @task(path=FILE_INOUT, on_failure="IGNORE")
    def spoil(path):
        Path(path).write_text("spoilt")
        raise ValueError("on purpose")

    @task(path=FILE_OUT, on_failure="IGNORE")
    def make_nothing(path):
        raise ValueError(path)

    kept = tmp_path / "kept"
    write(str(kept), "as it was")
    spoil(str(kept))
    empty = tmp_path / "empty"
    make_nothing(str(empty))
    assert compss_wait_on([read(str(kept)), read(str(empty))]) == [("as it was", "kept"), ("", "empty")]
    taskflow.stop()
    assert (kept.read_text(), empty.read_text()) == ("as it was", "")


@task(returns=1)
def sum_over(array, levels):
    if not levels:
        return int(array.sum())
    halves = [sum_over(half, levels - 1) for half in np.array_split(array, 2)]
    return sum(compss_wait_on(halves))


@task(returns=1)
def grow(size):
    return np.ones(size)


@task(returns=1)
def grow_twice(size):
    return compss_wait_on(grow(size)) + compss_wait_on(grow(size))


def test_tasks_that_call_tasks_with_large_objects(agents):
    agents.start(setup("near"), setup("far"), nesting=True)
    wait_until(lambda: len(nodes()) == 2)
    assert compss_wait_on([sum_over(np.arange(BIG), 2) for _ in range(4)]) == [sum_of(0)] * 4
    results = compss_wait_on([grow_twice(BIG) for _ in range(4)])
    assert [float(result.sum()) for result in results] == [2.0 * BIG] * 4


@task(path=FILE_IN, returns=1)
def read_by_child(path):
    return compss_wait_on(read(path))[0]


def test_tasks_that_call_tasks_with_files_run_at_home(agents, tmp_path):
    agents.start(setup("far"), nesting=True)
    path = tmp_path / "in.txt"
    path.write_text("text")
    with pytest.raises(taskflow.TaskflowError, match=r"have it run here, with @constraint\(is_local=True\)"):
        compss_wait_on(read_by_child(str(path)))


@constraint(app_software="maker")
@task(returns=1)
def make_there(seed):
    return np.arange(seed, seed + BIG, dtype=np.int64)


@constraint(app_software="parent")
@task(returns=1, nested=True)
def wait_in_vain(segments):
    part = make_there(1)
    shutil.rmtree(segments)
    Path(segments).touch()  # nothing can be stored on this node any more
    try:
        return f"got {len(compss_wait_on(part))}"
    except taskflow.TaskflowError as error:
        return str(error)
    finally:
        os.unlink(segments)
        os.mkdir(segments)


def test_a_body_that_waits_for_what_can_never_be_brought_there_is_told(agents):
    names = ("parent", "maker")
    setups = [
        dataclasses.replace(each, node=dataclasses.replace(each.node, software=frozenset({each.name.upper()})))
        for each in map(setup, names)
    ]
    agents.start(*setups)
    wait_until(lambda: len(nodes()) == 2)
    said = compss_wait_on(wait_in_vain(nodes()["parent"].facts["segments"]))
    assert "on node parent" in said
    assert "could not be brought" in said
