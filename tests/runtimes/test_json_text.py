"""Nesting is bounded before the parser sees it."""

from __future__ import annotations

import json

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
        with pytest.raises(ValueError, match="nested deeper"):
            parse_json(text)


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, '["]",' * 10**5, '"', "[", '"[' + "["])
def test_brackets_without_end_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested deeper|Expecting|Unterminated"):
        parse_json(text)
