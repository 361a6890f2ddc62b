"""What the tests of checkpoints share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from ifrnet import CheckpointError, load_model, random_model


@pytest.fixture(scope="session")
def weights() -> dict[str, Tensor]:
    """The state dict of an ifrnet_s, in float16 for speed."""
    return {key: tensor.half() for key, tensor in random_model("ifrnet_s", seed=12).state_dict().items()}


@pytest.fixture(scope="session")
def assert_refused() -> Callable[..., None]:
    """Whether a checkpoint is refused in one clear line that names the file and repeats nothing of PyTorch's."""

    def check(path: Path, message: str, **options: str) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            load_model(path, **options)
        text = str(caught.value)
        assert text.isprintable()
        assert path.name in text
        assert len(text) < 500 + len(str(path))
        for word in ("weights_only", "add_safe_globals", "PytorchStreamReader", "WeightsUnpickler"):
            assert word not in text, "a message of PyTorch's"

    return check
