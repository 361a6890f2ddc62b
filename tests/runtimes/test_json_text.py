"""Nesting is bounded before the parser sees it."""

from __future__ import annotations

import json
import time

import pytest

from runtimes.json_text import DEPTH, parse_json


@pytest.mark.parametrize(
    "value", [1, 'a]b\\"[[[', {"key [[[": ["}", {"deep": [None]}]}, [[]] * 50_000, ["[" * 100_000, "\\"]]
)
def test_what_is_flat_is_parsed(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("depth", [DEPTH, DEPTH + 1])
def test_depth_has_a_limit(depth: int) -> None:
    text = "[" * depth + "]" * depth
    if depth == DEPTH:
        assert parse_json(text) is not None
    else:
        with pytest.raises(ValueError, match=f"nested deeper than {DEPTH} levels"):
            parse_json(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_bytes_are_read_in_every_encoding_of_json(encoding: str) -> None:
    assert parse_json('{"licence": "ß"}'.encode(encoding)) == {"licence": "ß"}


@pytest.mark.parametrize("text", [b"\xff\xfe\xff", b'{"a": "\xe9"}'])
def test_bytes_that_are_no_text_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="codec can't decode"):
        parse_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_not_finite_are_refused_on_demand(number: str) -> None:
    assert isinstance(parse_json(f"[{number}]"), list)
    with pytest.raises(ValueError, match=r"is no JSON number|is too large for a number"):
        parse_json(f"[{number}]", finite=True)


def test_finite_numbers_pass() -> None:
    assert parse_json("[1.5, 1e300, -0.0, 3]", finite=True) == [1.5, 1e300, -0.0, 3]


def test_megabytes_take_no_longer_than_the_parser() -> None:
    """Ten times its time, for a busy machine; a scan in Python takes a hundred times."""
    text = json.dumps([{"name": 'a "quoted" [name]', "values": [0.25] * 8}] * 20_000)
    assert len(text) > 2**20
    seconds = []
    for parse in (json.loads, parse_json):
        began = time.perf_counter()
        parse(text)
        seconds.append(time.perf_counter() - began)
    assert seconds[1] < 10 * seconds[0] + 0.5


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, '["]",' * 10**5, '"', "[", '"[' + "["])
def test_brackets_without_end_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested deeper|Expecting|Unterminated"):
        parse_json(text)
