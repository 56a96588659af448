"""S39: distributed data sets, against plain Python."""

import collections
import os
import pickle
import random

import pytest

from taskflow import Future, compss_wait_on, runtime, task
from taskflow.dds import DDS
from taskflow.model.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("engine")

WORDS = ["one", "two", "three", "four", "five"]


def pairs(data):
    return sorted(data.collect())


@task(returns=1)
def numbers(n):
    return list(range(n))


@task(returns=1)
def inc(x):
    return x + 1


class TestLoading:
    def test_s39_a_range(self):
        assert DDS().load(range(10)).count() == 10
        assert DDS().load(range(10)).collect() == list(range(10))

    def test_partitions_differ_by_one_element_at_most(self):
        data = DDS().load(range(11), 4)
        assert data.num_of_partitions() == 4
        assert data.collect(keep_partitions=True) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]
        assert DDS().load([1], 3).collect(keep_partitions=True) == [[1], [], []]

    def test_each_element_a_partition_and_some_of_them_futures(self):
        data = DDS().load([numbers(3), [5], (6, 7)], -1)
        assert data.collect(keep_partitions=True) == [[0, 1, 2], [5], [6, 7]]
        assert data.map(lambda x: x * 2).collect() == [0, 2, 4, 10, 12, 14]

    def test_partitions_of_futures(self):
        assert DDS().load([inc(n) for n in range(5)], 2, paac=True).map(lambda x: 10 * x).sum() == 150
        assert DDS().load([[inc(1), inc(2)], [inc(3)]], -1, paac=True).collect(True) == [[2, 3], [4]]

    def test_a_dictionary(self):
        assert DDS().load({"b": 1, "a": 2}, 2).collect() == [("a", 2), ("b", 1)]

    @pytest.mark.parametrize("worker_read", [False, True])
    def test_the_text_of_a_file(self, tmp_path, worker_read):
        path = tmp_path / "text"
        path.write_bytes("äöü\r\nabc\nx".encode())
        data = DDS().load_file(str(path), chunk_size=4, worker_read=worker_read)
        assert data.collect(keep_partitions=True) == [["äöü\r"], ["\nabc"], ["\nx"]]
        assert data.map(len).sum() == 10

    def test_the_lines_of_a_file(self, tmp_path):
        path = tmp_path / "text"
        path.write_text(" one\ntwo \nthree\nfour")
        by_number = DDS().load_text_file(str(path), chunk_size=3, in_bytes=False)
        assert by_number.collect(keep_partitions=True) == [["one", "two", "three"], ["four"]]
        by_size = DDS().load_text_file(str(path), chunk_size=6, strip=False)
        assert by_size.collect(keep_partitions=True) == [[" one\n", "two \n"], ["three\n"], ["four"]]

    def test_files_of_a_folder(self, tmp_path):
        for name in "ba":
            (tmp_path / name).write_text(f"text of {name}")
        (tmp_path / "folder").mkdir()
        expected = [(str(tmp_path / name), f"text of {name}") for name in "ab"]
        assert DDS().load_files_from_dir(str(tmp_path)).collect(True) == [[pair] for pair in expected]
        assert DDS().load_files_from_dir(str(tmp_path), 1).collect(True) == [expected]

    def test_several_loads_and_unions_follow_each_other(self):
        first = DDS().load([1, 2], 1).load([3], 1)
        assert first.union(DDS().load([4], 1), DDS()).collect() == [1, 2, 3, 4]
        assert first.num_of_partitions() == 2
        assert DDS().collect() == []


class TestElements:
    def test_steps_are_lazy_and_done_together(self, engine):
        if engine.parallel:
            before = runtime.session.engine.kernel.submitted
        data = DDS().load(range(10), 2).map(inc).filter(lambda x: x % 2).flat_map(lambda x: [x, -x])
        if engine.parallel:
            assert runtime.session.engine.kernel.submitted == before
        assert data.collect() == [1, -1, 3, -3, 5, -5, 7, -7, 9, -9]
        if engine.parallel:
            assert runtime.session.engine.kernel.submitted == before + 2

    def test_collecting_again_gives_the_same_and_calls_nothing(self, engine):
        data = DDS().load(range(4), 2).map(lambda x: x + 1)
        first = data.collect()
        first.append("mine")
        if engine.parallel:
            before = runtime.session.engine.kernel.submitted
        assert data.collect() == [1, 2, 3, 4]
        assert data.map(lambda x: x + 1).collect() == [2, 3, 4, 5]
        if engine.parallel:
            assert runtime.session.engine.kernel.submitted == before + 2

    def test_arguments_for_the_function(self):
        data = DDS().load([1, 2], 1)
        assert data.map(lambda x, a, b: x * a + b, 10, b=5).collect() == [15, 25]
        assert data.flat_map(lambda x, n, sign: [sign * x] * n, 2, sign=-1).collect() == [-1, -1, -2, -2]

    def test_whole_partitions(self):
        assert DDS().load(range(5), 2).map_partitions(lambda items: [sum(items)]).collect() == [3, 7]
        assert DDS().load(range(5), 2).map_partitions(reversed).collect() == [2, 1, 0, 4, 3]

    def test_pairs(self):
        data = DDS().load([("a", 1), ("b", 2)], 2)
        assert data.map_values(lambda v: v * 10).collect() == [("a", 10), ("b", 20)]
        assert data.flatten_by_key(range).collect() == [("a", 0), ("b", 0), ("b", 1)]
        assert (data.keys().collect(), data.values().collect()) == (["a", "b"], [1, 2])
        assert DDS().load(["xx", "y"], 1).key_by(len).collect() == [(2, "xx"), (1, "y")]
        assert data.collect_as_dict() == {"a": 1, "b": 2}

    def test_foreach_is_called_with_each_element_before_it_returns(self, tmp_path):
        DDS().load(range(5), 2).foreach(lambda x: open(tmp_path / str(x), "w").close())
        assert sorted(os.listdir(tmp_path)) == list("01234")

    def test_take_computes_what_it_takes(self, engine):
        data = DDS().load(range(10), 5).map(lambda x: x + 1)
        if engine.parallel:
            before = runtime.session.engine.kernel.submitted
        assert data.take(3) == [1, 2, 3]
        if engine.parallel:
            assert runtime.session.engine.kernel.submitted == before + 2
        assert data.take(0) == []
        assert data.take(99) == list(range(1, 11))
        with pytest.raises(ArgumentError, match="take: the number of elements is 0 or more, not -1"):
            data.take(-1)

    def test_futures_of_the_partitions(self, engine):
        found = DDS().load(range(4), 2).map(lambda x: x + 1).collect(future_objects=True)
        assert all(isinstance(part, Future) for part in found) is engine.parallel
        assert compss_wait_on(found) == [[1, 2], [3, 4]]


class TestTaskFunctions:
    def test_they_are_called_plainly(self):
        @task(returns=1)
        def total(a, b):
            return a + b

        data = DDS().load(range(5), 2)
        assert data.map(inc).map(inc).reduce(total) == 20
        assert pairs(data.key_by(inc).reduce_by_key(total)) == [(n + 1, n) for n in range(5)]
        assert data.key_by(inc).sort_by_key(key_func=inc).partition_by(inc, 2).count() == 5


class TestReductions:
    @pytest.mark.parametrize("arity", [-1, 2, 3])
    def test_neighbours_are_reduced_in_order(self, arity):
        data = DDS().load("abcdefg", 5)
        assert data.reduce(lambda a, b: a + b, arity=arity) == "abcdefg"
        assert data.reduce(lambda a, b: a + b, initial="-", arity=arity) == "-abcdefg"

    def test_empty_partitions_do_not_matter(self):
        data = DDS().load([0, 3, 4], 10).filter(bool)
        assert data.reduce(lambda a, b: a * b, arity=2) == 12
        assert data.reduce(max) == 4

    def test_an_empty_data_set(self):
        empty = DDS().load([], 3)
        assert empty.reduce(max, initial=7) == 7
        assert (empty.sum(), empty.count(), empty.count_by_value()) == (0, 0, {})
        assert (DDS().sum(), DDS().count(), DDS().count_by_value()) == (0, 0, {})
        for data in (empty, DDS()):
            with pytest.raises(ArgumentError, match="the data set is empty, and there is no initial value"):
                data.reduce(max)

    @pytest.mark.parametrize("arity", [0, 1, -2])
    def test_an_arity_that_would_never_end_is_refused(self, arity):
        with pytest.raises(ArgumentError, match=f"reduce: arity is 2 or more, or -1 for all at once, not {arity}"):
            DDS().load([1, 2]).reduce(max, arity=arity)

    def test_counts(self, engine):
        data = DDS().load(WORDS + WORDS[:2], 3)
        expected = dict.fromkeys(WORDS, 1) | {"one": 2, "two": 2}
        assert data.count_by_value() == data.count_by_value(arity=3) == expected
        assert type(data.count_by_value()) is dict
        future = data.count_by_value(as_fo=True)
        assert isinstance(future, Future) is engine.parallel
        assert compss_wait_on(future) == expected
        assert dict(data.count_by_value(as_dict=False).collect()) == expected
        keyed = data.key_by(len)
        assert keyed.count_by_key(as_dict=True) == {3: 4, 5: 1, 4: 2}
        assert pairs(keyed.count_by_key()) == [(3, 4), (4, 2), (5, 1)]


class TestRegrouping:
    def test_pairs_of_a_key_are_in_one_partition(self):
        data = DDS().load([(word, place) for place, word in enumerate(WORDS * 4)], 3)
        parts = data.partition_by(num_of_partitions=4).collect(keep_partitions=True)
        assert len(parts) == 4
        assert sorted(pair for part in parts for pair in part) == pairs(data)
        for word in WORDS:
            assert sum(any(key == word for key, _ in part) for part in parts) == 1

    def test_a_function_says_the_partition(self):
        parts = DDS().load([(n, n) for n in range(6)], 2).partition_by(lambda key: key * 2, 3).collect(True)
        assert parts == [[(0, 0), (3, 3)], [(2, 2), (5, 5)], [(1, 1), (4, 4)]]
        assert DDS().load([(1, 1)], 2).partition_by(num_of_partitions=1).num_of_partitions() == 1

    def test_the_default_is_the_same_in_all_processes(self, engine, script):
        program = """
            from taskflow.dds import DDS
            data = DDS().load([(word, 1) for word in %r], 2).partition_by(num_of_partitions=3)
            print([sorted(key for key, _ in part) for part in data.collect(True)])
        """
        parts = DDS().load([(word, 1) for word in WORDS], 2).partition_by(num_of_partitions=3).collect(True)
        if engine.name == "local":
            assert script(program % (WORDS,)).stdout.strip() == str([sorted(key for key, _ in part) for part in parts])

    def test_values_of_a_key(self):
        data = DDS().load([("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5)], 3)
        assert pairs(data.reduce_by_key(lambda x, y: x + y)) == [("a", 9), ("b", 2), ("c", 4)]
        assert pairs(data.group_by_key()) == [("a", [1, 3, 5]), ("b", [2]), ("c", [4])]
        assert data.group_by_key(2).num_of_partitions() == 2
        made = data.combine_by_key(str, lambda text, v: f"{text}{v}", lambda one, two: f"{one}-{two}", total_parts=2)
        assert pairs(made) == [("a", "1-3-5"), ("b", "2"), ("c", "4")]

    def test_asking_twice_gives_the_same(self):
        grouped = DDS().load([(n % 2, n) for n in range(6)], 3).group_by_key()
        assert grouped.count() == 2
        assert pairs(grouped) == pairs(grouped) == [(0, [0, 2, 4]), (1, [1, 3, 5])]

    def test_distinct(self):
        assert sorted(DDS().load([3, 1, 3, 2, 1, 1], 4).distinct().collect()) == [1, 2, 3]

    def test_join(self):
        left = DDS().load([("a", 1), ("b", 2), ("a", 3)], 2)
        right = DDS().load([("a", "x"), ("c", "y"), ("a", "z")], 3)
        expected = [("a", (1, "x")), ("a", (1, "z")), ("a", (3, "x")), ("a", (3, "z"))]
        assert pairs(left.join(right)) == expected
        assert pairs(left.join(right, 1)) == expected
        assert left.join(DDS()).collect() == []

    @pytest.mark.parametrize("ascending", [True, False])
    def test_s39_sorting_random_pairs(self, ascending):
        chance = random.Random(5)
        items = [(chance.randrange(100), place) for place in range(300)]
        data = DDS().load(items, 6).sort_by_key(ascending, num_of_parts=4)
        assert data.collect() == sorted(items, key=lambda pair: pair[0], reverse=not ascending)
        sizes = [len(part) for part in data.collect(keep_partitions=True)]
        assert len(sizes) == 4
        assert min(sizes) > 30

    def test_sorting_by_a_function_of_the_key(self):
        data = DDS().load([("bb", 1), ("a", 2), ("ccc", 3)], 3)
        assert data.sort_by_key(key_func=len, ascending=False).keys().collect() == ["ccc", "bb", "a"]
        assert data.sort_by_key(num_of_parts=1).keys().collect() == ["a", "bb", "ccc"]
        assert DDS().sort_by_key().collect() == []


class TestFiles:
    def test_text_files_have_a_line_for_each_element(self, tmp_path):
        folder = tmp_path / "saved"
        DDS().load(["a", 2, "c"], 2).save_as_text_file(str(folder))
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"00000": "a\n2\n", "00001": "c\n"}

    def test_pickles_come_back(self, tmp_path):
        DDS().load([("a", 1), (None, {2})], 2).map(lambda x: x).save_as_pickle(str(tmp_path / "saved"))
        assert DDS().load_pickle_files(str(tmp_path / "saved")).collect(True) == [[("a", 1)], [(None, {2})]]
        with open(tmp_path / "saved" / "00000", "rb") as file:
            assert pickle.load(file) == [("a", 1)]


class TestPrograms:
    @pytest.fixture
    def folder(self, tmp_path):
        for number in range(5):
            (tmp_path / f"{number}.txt").write_text("\n".join(WORDS))
        return str(tmp_path)

    def test_s39_word_count(self, folder):
        counts = (
            DDS()
            .load_files_from_dir(folder)
            .flat_map(lambda pair: pair[1].split())
            .map(lambda word: (word, 1))
            .reduce_by_key(lambda a, b: a + b)
            .collect_as_dict()
        )
        assert counts == dict.fromkeys(WORDS, 5)
        by_value = DDS().load_files_from_dir(folder).flat_map(lambda pair: pair[1].split()).count_by_value()
        assert by_value == counts

    def test_s39_inverted_index(self, folder):
        index = (
            DDS()
            .load_files_from_dir(folder, 2)
            .flat_map(lambda pair: [(word, {os.path.basename(pair[0])}) for word in pair[1].split()])
            .reduce_by_key(lambda a, b: a | b)
            .collect_as_dict()
        )
        assert index == {word: {f"{number}.txt" for number in range(5)} for word in WORDS}

    def test_s39_terasort(self):
        chance = random.Random(1)
        items = [(chance.getrandbits(80).to_bytes(10, "big"), b"x" * 90) for _ in range(500)]
        data = DDS().load([items[start : start + 100] for start in range(0, 500, 100)], -1)
        assert data.sort_by_key().keys().collect() == sorted(key for key, _ in items)


@pytest.mark.engines("local")
def test_what_a_function_raises_is_raised(engine):  # noqa: ARG001
    with pytest.raises(ZeroDivisionError):
        DDS().load([1, 0], 1).foreach(lambda x: 1 // x)


def test_counter_of_a_plain_program_agrees():
    chance = random.Random(2)
    items = [chance.randrange(5) for _ in range(100)]
    assert DDS().load(items).count_by_value() == collections.Counter(items)
