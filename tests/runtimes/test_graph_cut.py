"""The cut between what depends on t and what does not, on small graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from runtimes.graph_cut import CannotCutError, cut_values


def cut(inputs: Mapping[str, Sequence[str]], free: str = "") -> list[str]:
    return cut_values(
        list(inputs), inputs, frames=("img0", "img1"), timestep="t", is_free=lambda name: name in free.split()
    )


SOURCES: dict[str, Sequence[str]] = {"img0": (), "img1": (), "t": (), "weight": ()}


def test_the_last_values_without_t_are_the_cut() -> None:
    graph = {**SOURCES, "f0": ("img0", "weight"), "f1": ("img1", "weight"), "g": ("f0", "f1"), "out": ("g", "t")}
    assert cut(graph) == ["g"]


def test_values_read_on_both_sides_are_handed_over_once_and_frames_may_be() -> None:
    graph = {**SOURCES, "f": ("img0", "img1"), "g": ("f",), "a": ("g", "t"), "out": ("a", "f", "img0", "g")}
    assert cut(graph) == ["img0", "f", "g"]


def test_constants_are_no_part_of_it() -> None:
    graph = {**SOURCES, "k": ("weight",), "f": ("img0", "img1"), "out": ("f", "t", "k", "weight")}
    assert cut(graph) == ["f"]


def test_a_quantisation_at_the_cut_stays_with_what_reads_it() -> None:
    graph = {**SOURCES, "f": ("img0", "img1"), "q": ("f", "weight"), "dq": ("q", "weight"), "out": ("dq", "t")}
    assert cut(graph, "q dq") == ["f"]
    assert cut(graph) == ["dq"]


@pytest.mark.parametrize("last", [("f",), ("t",)])
def test_a_graph_without_frames_or_t_is_not_cut(last: tuple[str, ...]) -> None:
    with pytest.raises(CannotCutError):
        cut({**SOURCES, "f": ("img0", "img1"), "out": last})


def test_a_free_node_of_two_values_is_a_cut() -> None:
    graph = {**SOURCES, "f": ("img0",), "g": ("img1",), "both": ("f", "g"), "out": ("both", "t")}
    assert cut(graph, "both") == ["both"]
