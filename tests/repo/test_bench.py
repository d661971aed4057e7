"""What the benchmarks make of their figures; and, live, that their C programs do what they say."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

from conformance.servers import Server, pyzk_launcher
from scripts.bench import comparison, loads, stages, zk
from scripts.bench.programs import Point, Times, build, limit_launcher, load, without_errors

GET = Point("get", 50, 20)
MOMENT = Times(0.1, 0.05, 0.1)


def figures(ops: float, p50_us: float = 10, p99_us: float = 20) -> dict[str, float]:
    return {"ops": ops, "p50_us": p50_us, "p99_us": p99_us}


# --- throughput


def test_the_table_shows_medians_ratios_and_the_largest_spread() -> None:
    results = {
        "pyzk": [{GET: figures(300)}, {GET: figures(330)}, {GET: figures(290)}],
        "zk": [{GET: figures(100)}, {GET: figures(150)}, {GET: figures(90)}],
        "limit": [{GET: figures(600)}] * 3,
    }
    head, line = comparison.table(results, [GET])
    assert head.split() == [
        *("pyzk", "ops/s", "p50", "us", "p99", "us", "zk", "ops/s", "p50", "us", "p99", "us"),
        *("limit", "ops/s", "p50", "us", "p99", "us", "/zk", "/limit", "spread"),
    ]
    assert line.split() == [
        *("get", "50", "x", "20", "300", "10", "20", "100", "10", "20", "600", "10", "20"),
        *("3.00", "0.50", "60%"),
    ]


def test_the_table_of_one_round_of_one_server_has_no_ratio_and_no_spread() -> None:
    head, line = comparison.table({"pyzk": [{GET: figures(300)}]}, [GET])
    assert head.split()[-1] == "spread"
    assert line.split() == ["get", "50", "x", "20", "300", "10", "20", "-"]


def test_figures_for_json_have_their_row_by_name() -> None:
    plain = comparison.plain({"pyzk": [{GET: figures(1)}]})
    assert plain == {"pyzk": [{"get 50 x 20": figures(1)}]}


@pytest.mark.parametrize(
    ("arguments", "rounds"),
    [([], 5), (["--quick"], 1), (["--quick", "--rounds", "2"], 2), (["--rounds", "0"], 0)],
)
def test_rounds(arguments: list[str], rounds: int) -> None:
    options = comparison.options_of("bench", rounds=5).parse_args(arguments)
    assert comparison.rounds_of(options) == rounds


def test_a_row_of_an_option() -> None:
    assert zk.row("mix:50:20") == Point("mix", 50, 20)


@pytest.mark.parametrize("text", ["get", "get:1", "get:a:1", "get:0:1", "ls:1:1", "get:1:1:1"])
def test_what_is_no_row(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no row"):
        zk.row(text)


def test_a_load_with_errors_is_no_measurement() -> None:
    assert without_errors("set", '{"ops": 5, "errors": 0}') == {"ops": 5, "errors": 0}
    with pytest.raises(SystemExit, match="set: errors"):
        without_errors("set", '{"ops": 5, "errors": 1}')


# --- other loads


def test_the_table_of_loads_shows_medians_and_their_ratio() -> None:
    results = {
        "pyzk": [{"starts: s": 0.2}, {"starts: s": 0.4}, {"starts: s": 0.3}],
        "zk": [{"starts: s": 1.5}],
    }
    head, line = loads.table(results)
    assert head.split() == ["pyzk", "zk", "ratio"]
    assert line.split() == ["starts:", "s", "0.30", "1.50", "0.20"]


def test_large_figures_have_no_decimals_and_nothing_is_divided_by_zero() -> None:
    _, line = loads.table({"pyzk": [{"creates: /s": 33000.4}], "zk": [{"creates: /s": 0.0}]})
    assert line.split() == ["creates:", "/s", "33,000", "0.00"]


def test_memory_that_became_less_is_unknown() -> None:
    figures = [{"bytes a watch": -3.0}]
    for one, other in ((-3.0, 90.0), (90.0, -3.0)):
        results = {"pyzk": [{"bytes a watch": one}], "zk": [{"bytes a watch": other}]}
        assert sorted(loads.table(results)[1].split()[-2:]) == ["90.0", "unknown"]
    assert loads.table({"pyzk": figures})[1].split()[-1] == "unknown"


# --- stages

REPORT = """
 40.00% ;  117:pyzk   ;libpython3.11.so.1.0
 20.00% ;  117:pyzk   ;[kernel.kallsyms]
  4.00% ;  117:pyzk   ;[vdso]
 16.00% ;  117:pyzk   ;4e9b__mypyc.cpython-311-x86_64-linux-gnu.so
  8.00% ;  117:pyzk   ;loop.cpython-311-x86_64-linux-gnu.so
  2.00% ;  117:pyzk   ;libc.so.6
 10.00% ;  1171:pyzk  ;[kernel.kallsyms]
"""


def test_samples_are_counted_to_stages() -> None:
    assert stages.shares(REPORT, 117) == {
        "kernel": 0.24,
        "uvloop": 0.08,
        "Python": 0.40,
        "core": 0.16,
        "other": 0.02,
        "disk threads": 0.10,
    }


def test_no_samples_make_no_stages() -> None:
    assert set(stages.shares("", 117).values()) == {0.0}


def test_the_table_of_stages_shares_the_time_out() -> None:
    head, line = stages.table({GET: (50.0, stages.shares(REPORT, 117))})
    assert head.split()[4:] == [
        "all",
        "kernel",
        "uvloop",
        "Python",
        "core",
        "other",
        "disk",
        "threads",
    ]
    assert line.split() == [
        *("get", "50", "x", "20", "50.00"),
        *("12.00", "4.00", "20.00", "8.00", "1.00", "5.00"),
    ]


# --- the C programs

needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None and shutil.which("cc") is None, reason="no C compiler"
)


@needs_compiler
@pytest.mark.live
@pytest.mark.parametrize("operation", zk.OPERATIONS)
def test_the_limit_answers_all_that_the_load_generator_asks(tmp_path: Path, operation: str) -> None:
    program = build(tmp_path)
    with Server(limit_launcher(tmp_path)) as server:
        for connections, pipeline in ((1, 1), (20, 10)):
            point = Point(operation, connections, pipeline)
            assert load(program, server, point, MOMENT)["ops"] > 0


@needs_compiler
@pytest.mark.live
@pytest.mark.parametrize("name", loads.SHAPES)
def test_each_shape_has_figures(tmp_path: Path, name: str) -> None:
    for program in ("zkload", "shapes"):
        build(tmp_path, program)
    sizes = loads.Sizes(2_000, (10, 100), 50, 0.2, 10, 10, 1)
    found = loads.measure(loads.SHAPES[name], pyzk_launcher(), tmp_path, MOMENT, sizes)
    assert found
    rates = [value for figure, value in found.items() if figure.endswith("/s")]
    assert all(rate > 0 for rate in rates)
