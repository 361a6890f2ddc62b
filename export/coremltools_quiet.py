"""coremltools logs pages and draws bars while it is imported and while it converts."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what coremltools logs, draws and warns of from the user's terminal; errors are raised as ever.

    It warns of every PyTorch after 2.7 (9.0), and of parts that only macOS has; and where torchao is installed, which
    it imports, PyTorch warns of torchao.
    """
    loggers = [logging.getLogger(name) for name in ("coremltools", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
