"""Result files of benchmark tools: real ones of pytest-benchmark and hyperfine, and the layouts of Criterion and Go."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfloop.collectors.benchmarks import BenchmarksCollector
from perfloop.collectors.results import READERS
from perfloop.collectors.results.latest import MAX_FILES, SEARCH_SECONDS, Source
from tests.collectors.pages import Page, lint, page_of

# Written by pytest-benchmark 5.3.1 and hyperfine 1.15.0; raw rounds and the machine are cut out.
REAL = Path(__file__).parent / "results"
GO = """goos: linux
goarch: amd64
pkg: example.org/orders
BenchmarkParse-8          1000              2000 ns/op          512.00 MB/s          64 B/op           2 allocs/op
BenchmarkParse-8          1000              4000 ns/op          256.00 MB/s          64 B/op           2 allocs/op
BenchmarkEncode/size=10         30000             40537.5 ns/op             4.000 rows
BenchmarkBroken-8         one               2 ns/op
PASS
ok      example.org/orders      4.441s
"""


class Results:
    """A collector over one source, and the time by which it looks for new files."""

    def __init__(self, path: Path | str, tool: str, **source: Any) -> None:
        self.now, self.tool = 0.0, tool
        sources = [Source(component="orders", tool=tool, path=str(path), **source)]
        self._collector = BenchmarksCollector(sources, clock=lambda: self.now)

    def page(self) -> Page:
        self.now += SEARCH_SECONDS
        return page_of(self._collector.collect())

    def value(self, page: Page, name: str, benchmark: str) -> float:
        return page.value(f"perfloop_benchmark_{name}", component="orders", tool=self.tool, benchmark=benchmark)

    def state(self, page: Page, name: str) -> float:
        return page.value(f"perfloop_benchmark_{name}", component="orders", tool=self.tool)


def write(file: Path, text: str | bytes, *, modified_at: float = 1.7e9) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(file, (modified_at, modified_at))
    return file


def hyperfine(**means: float) -> str:
    return json.dumps({"results": [{"command": k, "mean": v, "min": v, "max": v} for k, v in means.items()]})


def criterion(folder: Path, name: str, mean_nanoseconds: float, **benchmark: Any) -> Path:
    """Write what `cargo bench` leaves of one benchmark."""
    estimate = {"confidence_interval": {"confidence_level": 0.95, "lower_bound": 1, "upper_bound": 2}}
    estimates = {
        key: {**estimate, "point_estimate": value, "standard_error": 1.0}
        for key, value in (("mean", mean_nanoseconds), ("median", 900.0), ("median_abs_dev", 3.0), ("std_dev", 25.0))
    }
    write(folder / name / "new" / "benchmark.json", json.dumps({"group_id": "g", "full_id": name, **benchmark}))
    write(folder / name / "base" / "estimates.json", "old")
    return write(folder / name / "new" / "estimates.json", json.dumps({**estimates, "slope": None}))


def test_pytest_benchmarks_results_are_in_seconds() -> None:
    results = Results(REAL / "pytest_benchmark.json", "pytest-benchmark")

    page = results.page()

    stats = json.loads((REAL / "pytest_benchmark.json").read_text())["benchmarks"][0]["stats"]
    name = "test_codec.py::test_join[10]"
    for key in ("mean", "median", "stddev", "min", "max"):
        assert results.value(page, f"{key}_seconds", name) == stats[key]
    assert results.value(page, "throughput_operations", name) == stats["ops"]
    assert results.value(page, "iterations", name) == stats["rounds"] * stats["iterations"]
    assert results.value(page, "result_timestamp_seconds", name) == 1767323045.5
    assert page.labels("perfloop_benchmark_mean_seconds", "benchmark") == {name, "test_codec.py::test_join[1000]"}
    assert page.values("perfloop_benchmark_allocations") == []
    assert lint(page.text) == ""


def test_hyperfines_results_are_in_seconds_of_the_files_time(tmp_path: Path) -> None:
    file = tmp_path / "hyperfine.json"
    shutil.copy(REAL / "hyperfine.json", file)
    os.utime(file, (1.7e9, 1.7e9))
    results = Results(file, "hyperfine")

    page = results.page()

    assert results.value(page, "mean_seconds", "nap") == 0.011670824666666668
    assert results.value(page, "median_seconds", "nap") == 0.011619928000000002
    assert results.value(page, "iterations", "nap") == 3
    assert results.value(page, "result_timestamp_seconds", "nap") == 1.7e9
    assert page.values("perfloop_benchmark_throughput_operations") == []


def test_criterions_results_are_found_below_its_folder(tmp_path: Path) -> None:
    criterion(tmp_path, "parse/small", 1000.0, throughput={"Bytes": 2048})
    criterion(tmp_path, "parse/rows", 2000.0, throughput={"Elements": 10})
    criterion(tmp_path, "encode", 3000.0, throughput=None)
    results = Results(tmp_path, "criterion")

    page = results.page()

    assert results.value(page, "mean_seconds", "parse/small") == 1e-6
    assert results.value(page, "median_seconds", "encode") == 9e-7
    assert results.value(page, "stddev_seconds", "encode") == 2.5e-8
    assert results.value(page, "throughput_bytes", "parse/small") == pytest.approx(2048 / 1e-6)
    assert results.value(page, "throughput_operations", "parse/rows") == pytest.approx(10 / 2e-6)
    assert (results.state(page, "files"), results.state(page, "success")) == (3, 1)


def test_gos_results_are_over_all_runs_of_a_benchmark(tmp_path: Path) -> None:
    results = Results(write(tmp_path / "bench.txt", GO), "go")

    page = results.page()

    name = "example.org/orders.BenchmarkParse-8"
    assert results.value(page, "mean_seconds", name) == pytest.approx(3e-6)
    assert results.value(page, "median_seconds", name) == pytest.approx(3e-6)
    assert results.value(page, "stddev_seconds", name) == pytest.approx(1.41421e-6, rel=1e-4)
    assert results.value(page, "min_seconds", name) == pytest.approx(2e-6)
    assert results.value(page, "iterations", name) == 2000
    assert results.value(page, "throughput_bytes", name) == 384e6
    assert results.value(page, "allocated_bytes", name) == 64
    assert results.value(page, "allocations", name) == 2
    once = "example.org/orders.BenchmarkEncode/size=10"
    assert results.value(page, "mean_seconds", once) == pytest.approx(40537.5e-9)
    assert page.values("perfloop_benchmark_stddev_seconds", benchmark=once) == []
    assert len(page.values("perfloop_benchmark_mean_seconds")) == 2


@pytest.mark.parametrize(
    ("text", "success"),
    [
        pytest.param(GO.rstrip(), 1, id="no line feed after ok"),
        pytest.param(GO.partition("PASS")[0], 0, id="still running"),
        pytest.param("BenchmarkA 1 2 ns/op\n", 1, id="picked lines"),
        pytest.param("BenchmarkA 1 2 ns/op\nBenchmarkB 1 2 ns/op", 0, id="cut lines"),
        pytest.param("goos: linux\nPASS\n", 0, id="no benchmark"),
    ],
)
def test_gos_output_counts_once_it_is_complete(tmp_path: Path, text: str, success: int) -> None:
    results = Results(write(tmp_path / "bench.txt", text), "go")

    assert results.state(results.page(), "success") == success


def test_of_several_results_of_a_benchmark_the_newest_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.json", hyperfine(parse=1.0, encode=5.0), modified_at=1000)
    write(tmp_path / "deeper" / "b.json", hyperfine(parse=2.0), modified_at=3000)
    write(tmp_path / "c.json", hyperfine(parse=3.0), modified_at=2000)
    results = Results(tmp_path, "hyperfine")

    page = results.page()

    assert results.value(page, "mean_seconds", "parse") == 2
    assert results.value(page, "mean_seconds", "encode") == 5


def test_a_pattern_selects_files(tmp_path: Path) -> None:
    write(tmp_path / "run-1.json", hyperfine(a=1.0))
    write(tmp_path / "other.json", "no result")
    write(tmp_path / "[1].json", hyperfine(b=1.0))

    page = Results(f"{tmp_path}/run-*.json", "hyperfine").page()
    literal = Results(tmp_path / "[1].json", "hyperfine").page()

    assert page.labels("perfloop_benchmark_mean_seconds", "benchmark") == {"a"}
    assert literal.labels("perfloop_benchmark_mean_seconds", "benchmark") == {"b"}


def test_changed_new_and_gone_files_are_seen(tmp_path: Path) -> None:
    file, results = write(tmp_path / "a.json", hyperfine(a=1.0)), Results(tmp_path, "hyperfine")
    assert results.value(results.page(), "mean_seconds", "a") == 1

    write(file, hyperfine(a=2.5))
    write(tmp_path / "b.json", hyperfine(b=1.0))
    page = results.page()
    assert (results.value(page, "mean_seconds", "a"), results.value(page, "mean_seconds", "b")) == (2.5, 1)

    file.unlink()
    assert results.page().labels("perfloop_benchmark_mean_seconds", "benchmark") == {"b"}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(hyperfine(a=2.0)[:40], id="half-written"),
        pytest.param("", id="empty"),
        pytest.param("[]", id="other JSON"),
        pytest.param('{"results": [{"command": "a", "mean": "fast", "min": 1, "max": 1}]}', id="no number"),
        pytest.param('{"results": ' + "[" * 100_000, id="deeply nested"),
        pytest.param(b'{"results": "\xff"}', id="not UTF-8"),
    ],
)
def test_a_broken_file_keeps_its_last_good_result_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str | bytes
) -> None:
    caplog.set_level(logging.INFO, "perfloop")
    file, results = write(tmp_path / "a.json", hyperfine(a=1.0)), Results(tmp_path, "hyperfine")
    results.page()

    write(file, broken, modified_at=1.8e9)
    pages = [results.page(), results.page()]

    for page in pages:
        assert results.value(page, "mean_seconds", "a") == 1
        assert results.value(page, "result_timestamp_seconds", "a") == 1.7e9
        assert (results.state(page, "success"), results.state(page, "failed_files")) == (0, 1)
    assert [vars(record)["file"] for record in caplog.records] == [str(file)]
    write(file, hyperfine(a=3.0), modified_at=1.9e9)
    mended = results.page()
    assert (results.value(mended, "mean_seconds", "a"), results.state(mended, "success")) == (3, 1)


@pytest.mark.parametrize("tool", READERS)
def test_a_file_of_another_tool_is_no_result(tmp_path: Path, tool: str) -> None:
    foreign = {"hyperfine": REAL / "pytest_benchmark.json"}.get(tool, REAL / "hyperfine.json")
    results = Results(foreign, tool)

    page = results.page()

    assert page.values("perfloop_benchmark_mean_seconds") == []
    assert (results.state(page, "success"), results.state(page, "failed_files")) == (0, 1)


def test_a_path_without_files_is_no_success(tmp_path: Path) -> None:
    results = Results(tmp_path / "none", "hyperfine")

    assert results.state(results.page(), "success") == 0


def test_a_pipe_does_not_hold_anything_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    results = Results(tmp_path, "hyperfine")

    assert results.state(results.page(), "failed_files") == 1


def test_benchmarks_beyond_the_cap_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.json", hyperfine(**{f"b{i:02}": 1.0 for i in range(12)}))
    results = Results(tmp_path, "hyperfine", max_benchmarks=10)

    page = results.page()

    assert page.labels("perfloop_benchmark_mean_seconds", "benchmark") == {f"b{i:02}" for i in range(10)}
    assert results.state(page, "left_out") == 2


def test_of_too_many_files_the_newest_are_read(tmp_path: Path) -> None:
    for i in range(MAX_FILES + 1):
        write(tmp_path / f"{i}.json", hyperfine(**{f"b{i}": 1.0}), modified_at=1.7e9 + i)
    results = Results(tmp_path, "hyperfine", max_benchmarks=10_000)

    page = results.page()

    assert results.state(page, "files") == MAX_FILES
    assert "b0" not in page.labels("perfloop_benchmark_mean_seconds", "benchmark")


def test_a_name_of_any_length_is_a_label_of_bounded_length(tmp_path: Path) -> None:
    write(tmp_path / "a.json", hyperfine(**{"x" * 5000: 1.0, 'a\n"b\\': 2.0}))
    results = Results(tmp_path, "hyperfine")

    page = results.page()

    assert page.labels("perfloop_benchmark_mean_seconds", "benchmark") == {"x" * 199 + "…", 'a\n"b\\'}


SCALARS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=3)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
DOCUMENTS = st.fixed_dictionaries(
    {
        "results": st.lists(
            st.fixed_dictionaries({"command": st.text(max_size=3), "mean": NUMBERS, "min": NUMBERS, "max": SCALARS})
        ),
        "mean": st.fixed_dictionaries({"point_estimate": SCALARS}),
        "median": st.fixed_dictionaries({"point_estimate": NUMBERS}),
        "std_dev": st.fixed_dictionaries({"point_estimate": NUMBERS}),
        "full_id": st.text(max_size=3),
        "throughput": st.none() | st.dictionaries(st.sampled_from(["Bytes", "Elements"]), SCALARS),
    }
).map(lambda document: json.dumps(document).encode())
WORDS = st.sampled_from(["BenchmarkA-8", "1", "1e308", "nan", "-5", "ns/op", "MB/s", "B/op", "pkg:", "\n", "x"])
OUTPUTS = st.lists(WORDS).map(lambda words: (" ".join(words) + "\n").encode())


@settings(max_examples=100, deadline=None)
@given(tool=st.sampled_from(sorted(READERS)), content=st.binary(max_size=50) | DOCUMENTS | OUTPUTS)
def test_whatever_stands_in_a_file_there_is_a_page(
    tmp_path_factory: pytest.TempPathFactory, tool: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("results") / "new"
    names = {"criterion": ["estimates.json", "benchmark.json"], "go": ["a.txt"]}.get(tool, ["a.json"])
    for name in names:
        write(folder / name, content)
    results = Results(folder, tool)

    page = results.page()

    assert results.state(page, "files") == 1
