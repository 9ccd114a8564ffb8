"""Training in several processes, one a device, by torch's own launcher: what they share and how they are started."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.distributed.elastic.multiprocessing.errors import record

from workflow_lib.embed.devices import find_devices
from workflow_lib.errors import InputError, ToolError
from workflow_lib.log import DATE_FORMAT, FORMAT

_PORT = "localhost:0"  # any free one
_PATIENCE = datetime.timedelta(hours=6)  # of the others while the first process validates


def n_processes() -> int:
    """How many processes train together: what torch's launcher says, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process among them, from 0."""
    return int(os.environ.get("RANK", "0"))


def divide_batch(n_rows: int, *, option: str) -> int:
    """Rows of a batch for each process.

    Raises
    ------
    InputError
        when some would be left over; it names `option`, the configuration's key of the batch size.
    """
    n = n_processes()
    if n_rows % n:
        raise InputError(
            f"found batches of {n_rows} rows for {n} devices, expected a multiple of {n}",
            remedy=f"set {option} to {n_rows + n - n_rows % n}, or change the number of devices",
        )
    return n_rows // n


def own_device(device: str) -> torch.device:
    """Which of the devices of "cpu", "cuda", "cuda:N" or "cuda:N,M" this process trains on; see `process_group`."""
    devices = find_devices(device)
    return devices[int(os.environ.get("LOCAL_RANK", "0"))] if len(devices) > 1 else torch.device(device)


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torch's launcher started, and give the device of this one.

    Without a launcher, or where a group is open, nothing happens. A GPU without a number becomes that of this process.
    """
    if device.type == "cuda" and n_processes() > 1 and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if device.index is not None:
        torch.cuda.set_device(device)
    if n_processes() == 1 or distributed.is_initialized():
        yield device
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def share_weights(module: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if distributed.is_initialized():
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace gradients by their mean over all processes; a parameter without one counts as zero.

    By hand, not by DistributedDataParallel, which wants every step to be one call of one module: a contrastive step
    calls its module once a view, and a mixed one begins in the middle.
    """
    if not distributed.is_initialized():
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, part in zip(parameters, flat.split(sizes), strict=True):
        parameter.grad.copy_(part.view_as(parameter))


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes, in order of rank; gradients find their way back to the process of a row."""
    if not distributed.is_initialized():
        return rows
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows.contiguous()))


def gather_objects(value: object) -> list:
    """The values of all processes, in order of rank."""
    if not distributed.is_initialized():
        return [value]
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def wait_for_all() -> None:
    """Wait until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()


def launch(function: Callable, *arguments: object, n: int) -> object:
    """Run `function(*arguments)` in `n` processes on this machine and give what the first returned.

    With one process it is called here. Function, arguments and result must be such that pickle takes them. The first
    process logs to the files that this one logs to.

    Raises
    ------
    ToolError
        with what the first process to fail said.
    """
    if n == 1:
        return function(*arguments)
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=n, rdzv_backend="c10d", rdzv_endpoint=_PORT, run_id="novabin",
        max_restarts=0,
    )  # fmt: skip
    logging.getLogger("torchelastic-events-null").setLevel(logging.WARNING)  # it tells what the launcher sends nowhere
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    try:
        return elastic_launch(config, _run_one)([handler.baseFilename for handler in handlers], function, *arguments)[0]
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        raise ToolError(f"process {number} of {n} failed: {failure.message}") from error


@record
def _run_one(log_files: list[str], function: Callable, *arguments: object) -> object:
    """`function(*arguments)` in a process of its own; what it raises is told to the one that launched it."""
    if rank() == 0:
        for path in log_files:
            handler = logging.FileHandler(path, mode="a", encoding="utf-8")
            handler.setFormatter(logging.Formatter(FORMAT, datefmt=DATE_FORMAT))
            logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.INFO)
    return function(*arguments)
