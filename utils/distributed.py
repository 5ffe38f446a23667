"""Several processes that train one network together, as `torchrun` starts them; alone, all of this is nothing.

A process is called a rank. Every rank has all the data and weights and takes its share of each batch; gradients are
added up, so a step is that of the whole batch. What one rank alone may do (write files, tell what happens) the first
one does. A peer that is gone ends the others with `PEER_LOST`.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from utils import last_words, process_identity, signals
from utils.errors import PeerError, UsageError

# A rank may wait while the first one scores a run; a lost one is noticed at once, since its connection closes.
TIMEOUT = timedelta(hours=2)
# The system takes a moment to say that a killed process is dead.
SECONDS_TO_DIE = 10.0
# Gradients are sent in pieces of this size.
BUCKET_BYTES = 64 * 2**20


class Ranks:
    """The only process there is; also what all ranks have in common.

    Attributes:
        number: of this rank, from 0.
        count: of all.
    """

    number, count = 0, 1

    @property
    def is_first(self) -> bool:
        """True for the rank that writes files and tells what happens."""
        return self.number == 0

    def share(self, ids: torch.Tensor) -> torch.Tensor:
        """Return this rank's part of a batch; none where there are more ranks than windows."""
        return ids[self.number :: self.count]

    def check_signals(self) -> None:
        """Stop here where a signal came; among several that is agreed on between steps, so that none waits for another.

        Raises:
            Interrupted: one came, and this process is alone.
        """
        signals.check()

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors of one type by their sums over all ranks."""

    def first_raised(self, flags: Sequence[bool]) -> list[int | None]:
        """Return for each flag the first rank that has raised it, None where none has."""
        return [0 if flag else None for flag in flags]

    def told_by(self, number: int, value: Any) -> Any:  # noqa: ARG002 - alone there is nobody else to ask
        """Return what one rank has to say, the same on all."""
        return value

    def of_all(self, value: Any) -> list[Any]:
        """Return what each rank has to say, in their order."""
        return [value]


class _Together(Ranks):
    """This process among its peers."""

    def __init__(self) -> None:
        self.number, self.count = dist.get_rank(), dist.get_world_size()
        self._peers: list[tuple[str, int, str]] = []
        me = (process_identity.host(), os.getpid(), process_identity.started(os.getpid()))
        self._peers = self.of_all(me)

    def check_signals(self) -> None:
        pass

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            self._call(partial(dist.all_reduce, flat))
            parts = flat.split([tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [part.view_as(tensor) for part, tensor in zip(parts, bucket, strict=True)])

    def first_raised(self, flags: Sequence[bool]) -> list[int | None]:
        # The larger the number, the earlier the rank.
        raised = torch.tensor([self.count - self.number if flag else 0 for flag in flags])
        self._call(partial(dist.all_reduce, raised, op=dist.ReduceOp.MAX))
        return [self.count - value if value else None for value in raised.tolist()]

    def told_by(self, number: int, value: Any) -> Any:
        box = [value if self.number == number else None]
        self._call(partial(dist.broadcast_object_list, box, src=number))
        return box[0]

    def of_all(self, value: Any) -> list[Any]:
        box: list[Any] = [None] * self.count
        self._call(partial(dist.all_gather_object, box, value))
        return box

    def _call(self, collective: Callable[[], Any]) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> PeerError:
        """Return the error of a collective that failed, with the ranks of this machine that are dead."""
        deadline = time.monotonic() + SECONDS_TO_DIE
        dead = self._dead()
        while not dead and time.monotonic() < deadline:
            time.sleep(0.1)
            dead = self._dead()
        who = f"rank {', '.join(map(str, dead))}" if dead else "a rank of another machine, or the connection to it,"
        return PeerError(
            "PEER_LOST",
            f"{who} is gone, and a step takes all {self.count}.",
            where=f"rank {self.number} of {self.count}, process {os.getpid()} on {process_identity.host()}",
            evidence=_told(error),
            next_command="look at what that rank said last; then the same command with --resume auto",
        )

    def _dead(self) -> list[int]:
        here = process_identity.host()
        return [
            number
            for number, (host, pid, start) in enumerate(self._peers)
            if host == here and not process_identity.lives(pid, start)
        ]


_ALONE = Ranks()


class _State:
    ranks: Ranks = _ALONE


def current() -> Ranks:
    """Return the ranks that this process belongs to."""
    return _State.ranks


def launched() -> int:
    """Return how many processes `torchrun` has started, this one among them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_launched() -> bool:
    """Whether this process is one of several."""
    return launched() > 1


def local_rank() -> int:
    """Return which of this machine's ranks this is: the number of its card."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def ranks_here() -> int:
    """Return how many ranks share this machine; 1 without `torchrun`."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def begin(device: torch.device) -> None:
    """Meet the other ranks; nothing where this process is alone.

    Args:
        device: where this rank computes.

    Raises:
        UsageError: ``CONFIG``, they cannot be met.
    """
    if not is_launched():
        return
    # What is agreed on between steps is sent from host to host, so that no step waits for a card.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            "CONFIG",
            "The other processes of this training cannot be met.",
            where=f"rank {os.environ.get('RANK')} of {os.environ['WORLD_SIZE']}, backend {backend}",
            evidence=_told(error),
            next_command="torchrun --nproc_per_node=2 run.py ... starts two on this machine and sets what they need",
        ) from error
    _State.ranks = _Together()
    if not current().is_first:
        logging.disable(logging.WARNING)  # one log, that of the first rank
        last_words.speak_as(f"rank {current().number}")


def end() -> None:
    """Leave the other ranks."""
    if _State.ranks is not _ALONE:
        _State.ranks = _ALONE
        dist.destroy_process_group()


def _told(error: Exception) -> str:
    """Return the first line of an error without the place in the library's source and its advice."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"^\[\S+\] ", "", line).partition(". This is typically")[0][:300]


def _buckets(tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Put tensors together into pieces that are sent at once."""
    found: list[list[torch.Tensor]] = []
    size = 0
    for tensor in tensors:
        if not found or size + tensor.nbytes > BUCKET_BYTES:
            found.append([])
            size = 0
        found[-1].append(tensor)
        size += tensor.nbytes
    return found
