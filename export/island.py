"""Which part of a compiled network stays in float32 whatever the rest runs in; one rule for every intermediate form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Edges = Sequence[Sequence[int]]
"""For each node the nodes it takes its inputs from, in order (or those that take its outputs)."""


def float32_island(
    before: Edges, *, convolutions: set[int], samplers: set[int], is_head: Callable[[int], bool]
) -> set[int]:
    """Nodes that :class:`export.graph.PrecisionPolicy` keeps in float32.

    Half precision is what lies between two convolutions. Not the flow: whatever leads from a decoder's head to
    sampling positions, and the samplers. So mean, flow accumulation, grid, warps, mask and blending are in the island.

    Args:
        before: the inputs of each node.
        convolutions: nodes that are convolutions of either kind.
        samplers: nodes that warp; all inputs but the first are positions, or weights made of them.
        is_head: whether a node gives what a decoder's last convolution computed, or takes flow apart from features
            there. Such nodes belong to the convolution.
    """
    after: list[list[int]] = [[] for _ in before]
    for i, sources in enumerate(before):
        for source in sources:
            after[source].append(i)
    below = _reach(convolutions, after, lambda i: False)
    above = _reach(convolutions, before, lambda i: False)
    flow = _reach((source for i in samplers for source in before[i][1:]), before, is_head)
    outside = {i for i in range(len(before)) if i not in below & above and not is_head(i)}
    return outside | flow | samplers


def _reach(start: Iterable[int], edges: Edges, stop: Callable[[int], bool]) -> set[int]:
    """``start`` and everything reachable from it; never passes, nor holds, a node where ``stop`` is true."""
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        if (i := waiting.pop()) not in found and not stop(i):
            found.add(i)
            waiting.extend(edges[i])
    return found
