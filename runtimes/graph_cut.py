"""Where a network is cut so that the work that does not depend on t is done once for a pair.

Nothing is written for it at export: the cut is found in the graph that is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence


class CannotCutError(LookupError):
    """The graph is not one of frames and a time step; runtimes call the whole of it for every t."""


def cut_values(
    order: Sequence[str],
    inputs: Mapping[str, Sequence[str]],
    *,
    frames: Collection[str],
    timestep: str,
    is_free: Callable[[str], bool],
) -> list[str]:
    """The nodes whose values the half that depends on t takes from the half that does not.

    Args:
        order: all nodes, each after those it reads.
        inputs: node -> the nodes it reads.
        frames: the nodes that are img0 and img1.
        timestep: the node that is t.
        is_free: whether a node only moves, converts or quantises one value. Such a node at the cut goes to the half
            that depends on t: a convolution reads int8 only where it sees the quantisation.

    Returns:
        In the order of the graph; constants are none of them.

    Raises:
        CannotCutError: the output does not depend on both.
    """
    late: set[str] = {timestep}
    early: set[str] = set(frames)
    for node in order:
        if any(source in late for source in inputs[node]):
            late.add(node)
        elif any(source in early for source in inputs[node]):
            early.add(node)
    found: set[str] = set()
    pending = [source for node in order if node in late for source in inputs[node] if source in early]
    while pending:
        node = pending.pop()
        sources = [source for source in inputs[node] if source in early]
        if node not in frames and is_free(node) and len(sources) == 1:
            pending.append(sources[0])
        else:
            found.add(node)
    if not found:
        raise CannotCutError("nothing that depends on the frames is read together with t")
    return [node for node in order if node in found]
