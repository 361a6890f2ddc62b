"""The parts of a long job as tasks of a Ray cluster. A part whose worker dies is made again; the result is the same."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtimes.video.errors import VideoError
from runtimes.video.options import VideoOptions
from runtimes.video.outputs import open_source
from runtimes.video.resume import join, missing_parts, parts_folder, prepared
from runtimes.video.seal import sealed_frames
from runtimes.video.summary import Summary, total

LOCAL = "local"
"""Address that starts a cluster on this machine and stops it afterwards."""

RETRIES = 5
"""How often a part is made again after the death of its worker."""


def run_on_ray(
    options: VideoOptions,
    seconds: float,
    *,
    address: str,
    note: Callable[[str], None],
) -> Summary:
    """Make all parts on the cluster, then join them here. Whole parts that are there already are kept.

    The source, the artifact and the folder of the output have to be the same files on all machines.

    Args:
        seconds: source seconds of a part.
        address: of the cluster, or :data:`LOCAL`.

    Raises:
        VideoError: Ray is not installed, or a part fails other than by the death of its worker.
    """
    if importlib.util.find_spec("ray") is None:
        raise VideoError("--ray needs ray: pip install 'ifrnet-export[ray]'")
    options = _absolute(options)
    with ExitStack() as stack:
        source = open_source(options, note)
        stack.callback(source.close)
        parts = stack.enter_context(prepared(options, source.info, seconds))
        missing = missing_parts(parts, note)
        note(f"{len(parts)} parts, {len(parts) - len(missing)} of them there already")
        ray = stack.enter_context(_cluster(address, parts_folder(options) / "ray.log"))
        task: Any = ray.remote(num_cpus=options.infer.threads or 1, max_retries=RETRIES)(make_part)
        done: list[Summary] = []
        names = {part.target for part in missing}
        frames_kept = sum(sealed_frames(Path(part.target)) for part in parts if part.target not in names)
        waiting = [task.remote(part) for part in missing]
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            try:
                name, summary = ray.get(ready[0])
                done.append(summary)
                note(f"{name} done, {len(waiting)} to go")
            except ray.exceptions.RayTaskError as error:
                raise VideoError(f"a part failed: {error.cause}") from error
            except ray.exceptions.WorkerCrashedError as error:
                raise VideoError(f"a part's worker died {RETRIES + 1} times: is there enough memory?") from error
        join(options, parts, source.info, note)
    return total(done, frames_kept)


@contextmanager
def _cluster(address: str, log: Path) -> Iterator[Any]:
    """Connect to a cluster, or start one that nobody else can reach; what Ray tells goes to ``log``.

    Raises:
        VideoError: the cluster cannot be reached, or would listen on other addresses than loopback.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        # Ray 2.60: whoever reaches its ports can have code run, it listens on all addresses, and it turns a loopback
        # _node_ip_address into another. This keeps it on loopback, on Linux too; it is read when ray is imported.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    logger = logging.getLogger("ray")
    handler = logging.FileHandler(log, encoding="utf-8")
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        import ray

        try:
            ray.init(
                address=None if address == LOCAL else address,
                log_to_driver=False,
                configure_logging=False,
                include_dashboard=False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise VideoError(f"the Ray cluster {address} cannot be reached: {error} (see {log})") from error
        try:
            here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
            if address == LOCAL and not ipaddress.ip_address(here).is_loopback:
                raise VideoError(f"a local Ray cluster would listen on {here}: run this where ray is not imported yet")
            yield ray
        finally:
            ray.shutdown()
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
        handler.close()


def make_part(part: VideoOptions) -> tuple[str, Summary]:
    """One part, in a worker; returns its name and what was done. A death leaves nothing under that name."""
    from runtimes.video.pipeline import open_job

    with ExitStack() as stack:
        summary = open_job(part, stack, note=lambda _: None).run()
    return Path(part.target).name, summary


def _absolute(options: VideoOptions) -> VideoOptions:
    """Workers run elsewhere."""
    infer = replace(options.infer, artifact=options.infer.artifact.resolve())
    source, target = (str(Path(path).resolve()) for path in (options.source, options.target))
    return replace(options, source=source, target=target, infer=infer)
