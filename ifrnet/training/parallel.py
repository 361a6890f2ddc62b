"""One process or many: what torchrun sets up, behind the few calls that the loop needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ifrnet.training.errors import TrainingError


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those of the run; a context manager that leaves the group at the end."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes logs and states."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over all processes."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, device_ids=[self.device] if self.device.type == "cuda" else None)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world > 1:
            dist.destroy_process_group()


def join(device: str | None = None) -> Processes:
    """Join the group that torchrun announces through its environment variables; alone without them.

    Args:
        device: "cpu" or "cuda"; by default a GPU where there is one.

    Raises:
        TrainingError: "cuda" without a GPU, or a group that is announced in part.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: PyTorch finds no GPU here; leave it out, or install CUDA's PyTorch")
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Processes(rank=0, world=1, device=torch.device(kind))
    told = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")}
    if wrong := [f"{name}={value}" for name, value in told.items() if not value.isdecimal()]:
        raise TrainingError(
            f"WORLD_SIZE announces several processes, but {', '.join(wrong)}: expected the numbers that torchrun sets; "
            "start with torchrun, or unset WORLD_SIZE for one process"
        )
    world, local = int(told["WORLD_SIZE"]), int(told["LOCAL_RANK"])
    place = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    return Processes(rank=dist.get_rank(), world=world, device=place)
