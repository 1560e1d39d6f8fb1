"""Several processes that do one work: who this one is, what all must have alike, what one of them decides for all.

They tell each other JSON through the store that brings them together, so nothing is pickled, and whoever waits can be
stopped; tensors go another way (`distributed`). In a single process each function does what is left of it.
"""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from selftaught.system import clock, departures, distributed, meeting
from selftaught.system.errors import CompanionError, SelftaughtError, UsageError
from selftaught.system.interruption import poll, undeterred
from selftaught.system.places import Place, placed

T = TypeVar("T")
PAUSES = (0.001, 0.05)  # seconds between two looks whether something was said: the first, and the longest


@dataclass
class _Company:
    """The processes that came together, as this one sees them."""

    place: Place
    store: Store
    nodes: list[str] = field(default_factory=list)  # of each process, by its rank
    hosts: list[str] = field(default_factory=list)
    said: int = 0  # times that the leader has told something
    asked: int = 0  # times that all have told something
    orders: Mapping[str, Any] = field(default_factory=dict)  # what the leader may have this process do meanwhile


_company: _Company | None = None
_times: Counter[Store] = Counter()  # that this process has joined those who meet there


def count() -> int:
    """How many processes do this work."""
    return _company.place.world if _company else 1


def leads() -> bool:
    """Whether this process is the one that decides, writes and speaks."""
    return _company is None or _company.place.rank == 0


def neighbours() -> list[int]:
    """Ranks of the processes of this machine, this one among them."""
    if _company is None:
        return [0]
    own = _company.nodes[_company.place.rank]
    return [rank for rank, node in enumerate(_company.nodes) if node == own]


def rank() -> int:
    """This process's number; 0 leads."""
    return _company.place.rank if _company else 0


def node_group() -> Any:
    """The group of the processes of this machine, for collectives; all have to ask at once."""
    assert _company is not None
    groups = {node: [r for r, other in enumerate(_company.nodes) if other == node] for node in _company.nodes}
    made = {node: dist.new_group(ranks) for node, ranks in groups.items()}
    return made[_company.nodes[_company.place.rank]]


def hosts() -> list[str]:
    """The machine of each process, by its rank, where there are several; else none."""
    return _company.hosts if _company else []


def said_of(rank: int) -> str:
    """A process, for people."""
    return departures.called(rank, count(), _company.hosts if _company else [])


@contextmanager
def joined(on_gpu: bool, compiles: bool = False) -> Iterator[None]:
    """Be one of the processes that the environment tells of, and leave them at the end, telling why if by an error."""
    global _company
    place = placed(os.environ)
    if place is None or _company is not None:
        yield
        return
    store = meeting.met(place)
    _company = _Company(place, PrefixStore(f"selftaught/{_times[store]}", store))
    _times[store] += 1
    try:
        with explained():
            _started(_company, on_gpu, meeting.patience(compiles))
            yield
    except BaseException as error:
        _say_last(error)
        raise
    finally:
        _leave(_company, on_gpu)
        _company = None


def _started(company: _Company, on_gpu: bool, patience: float) -> None:
    place = company.place
    facts = exchanged([socket.gethostname(), place.node])
    company.hosts = [host for host, _ in facts]
    company.nodes = [f"{host}/{node}" for host, node in facts]
    if on_gpu:
        if place.local >= torch.cuda.device_count():
            raise UsageError(
                f"{said_of(place.rank)} is its number {place.local} there, and {torch.cuda.device_count()} GPUs are "
                "visible: start no more processes a machine than it has"
            )
        torch.cuda.set_device(place.local)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=PrefixStore("torch", company.store),
        rank=place.rank,
        world_size=place.world,
        timeout=timedelta(seconds=patience),
    )


def _leave(company: _Company, on_gpu: bool) -> None:
    with suppress(Exception):  # whoever has the store may be gone by now
        company.store.set(f"left/{company.place.rank}", "")
    if dist.is_initialized() and not (on_gpu and _is_over(company.store)):  # NCCL waits for those that are gone
        dist.destroy_process_group()
    distributed.forget_groups()
    if company.place.rank == 0:  # may have the store, which others still read
        left = [f"left/{rank}" for rank in range(company.place.world)]
        until = clock.now() + departures.LAST_WORDS
        with suppress(Exception):
            while not company.store.check(left) and clock.now() < until:
                time.sleep(PAUSES[1])


def _is_over(store: Store) -> bool:
    """Whether a process has ended the work of all, or whoever has the store is gone."""
    with suppress(Exception):
        return bool(store.check(["ended"]))
    return True


def exchanged(value: Any) -> list[Any]:
    """What each process tells, by its rank. Values are JSON."""
    if _company is None:
        return [value]
    number, _company.asked = _company.asked, _company.asked + 1
    _company.store.set(f"asked/{number}/{_company.place.rank}", json.dumps(value))
    return [json.loads(_waited_for(f"asked/{number}/{rank}")) for rank in range(_company.place.world)]


def refuse_difference(facts: Mapping[str, Any]) -> None:
    """Raise UsageError, in every process, where these facts are not the same in all of them; it names who and what."""
    everyone = exchanged(dict(facts))
    for rank, other in enumerate(everyone):
        for name, value in everyone[0].items():
            if other.get(name) != value:
                raise UsageError(
                    f"the processes disagree about {name}: {said_of(rank)} has {other.get(name)!r}, and {said_of(0)} "
                    f"has {value!r}; start all with the same command, versions and data"
                )


def led(work: Callable[[], T]) -> T:
    """What the leader's work came to, which the others wait for: a value that is JSON, or the error it ended with."""
    if _company is None:
        return work()
    if not leads():
        value: T = heard()
        return value
    with telling() as told:
        told.append(work())
    made: T = told[0]
    return made


@contextmanager
def telling() -> Iterator[list[Any]]:
    """Tell the others, who hear, the value that is put into the list, or the error that ends this."""
    told: list[Any] = []
    try:
        yield told
    except BaseException as error:
        _tell({"error": _plain(error), "line": str(error)})
        raise
    _tell({"value": told[0] if told else None})


def heard(*known: type[BaseException]) -> Any:
    """What the leader tells next, with its errors of ours and those `known` raised here as well.

    What it orders before that is done. A stop that is asked for meanwhile waits: it is to be agreed on.
    """
    with undeterred():
        while "order" in (told := _next()):
            _company.orders[told["order"]](*told["of"])  # type: ignore[union-attr]
    if "error" not in told:
        return told["value"]
    kinds = {kind.__name__: kind for kind in (*_kinds(SelftaughtError), KeyboardInterrupt, *known)}
    if told["error"] in kinds:
        raise kinds[told["error"]](told["line"])
    raise CompanionError(f"{said_of(0)} ended: {told['error']}: {told['line']}", 0, 1)


def _next() -> dict[str, Any]:
    assert _company is not None
    number, _company.said = _company.said, _company.said + 1
    told: dict[str, Any] = json.loads(_waited_for(f"said/{number}"))
    return told


def order(name: str, *of: Any) -> None:
    """Have the others do a piece of work that takes all of them, while they wait to hear what the leader does."""
    _tell({"order": name, "of": of})


@contextmanager
def obeying(orders: Mapping[str, Any]) -> Iterator[None]:
    """Do what the leader orders by these names, whenever it is waited for inside."""
    assert _company is not None
    _company.orders = orders
    yield


def in_turn(work: Callable[[], T]) -> T:
    """Do work that leaves files behind in one process of each machine first, then in the others, which find them."""
    if _company is None:
        return work()
    first = neighbours()[0]
    if _company.place.rank == first:
        made = work()
        _company.store.set(f"turn/{first}", "")
        return made
    _waited_for(f"turn/{first}")
    return work()


def publish(name: str, value: str) -> None:
    """Leave a value for whoever started the processes."""
    if _company is not None:
        _company.store.set(name, value)


@contextmanager
def explained() -> Iterator[None]:
    """Let an error about a connection that broke, or waited too long, say who ended and why. Raises CompanionError."""
    try:
        yield
    except RuntimeError as error:
        if _company is None or not departures.is_of_a_connection(error):
            raise
        complaint = str(error).splitlines()[0].rpartition("] ")[2][:200]
        raise departures.lost(_company.store, rank(), count(), _company.hosts, complaint) from error


def _say_last(error: BaseException) -> None:
    if _company is None or isinstance(error, CompanionError):
        return
    code = 75 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
    own = isinstance(error, SelftaughtError)
    line = f"{said_of(_company.place.rank)} ended: {error if own else f'{type(error).__name__}: {error}'}"
    with suppress(Exception):
        departures.say_ended(_company.store, _company.place.rank, line, code)


def _tell(message: dict[str, Any]) -> None:
    if _company is not None:
        number, _company.said = _company.said, _company.said + 1
        _company.store.set(f"said/{number}", json.dumps(message))


def _waited_for(key: str) -> bytes:
    """The value of a key, as soon as there is one. Raises CompanionError where a process ends before that."""
    assert _company is not None
    store, pause = _company.store, PAUSES[0]
    while not store.check([key]):
        if store.check(["ended"]) and not store.check([key]):
            raise departures.ended(store)
        poll()
        time.sleep(pause)
        pause = min(1.2 * pause, PAUSES[1])
    return store.get(key)


def _plain(error: BaseException) -> str:
    """The name of an error's kind that is made of a line alone."""
    return next(kind.__name__ for kind in type(error).__mro__ if "__init__" not in vars(kind) or kind is Exception)


def _kinds(kind: type[SelftaughtError]) -> Iterator[type[SelftaughtError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
