"""What a run on many machines is foreseen to take, for people."""

from rich.table import Table
from rich.text import Text

from selftaught.system.text import duration, filesize, rounded
from selftaught.training.scale.outlook import Communication, Memory, Outlook, Reading, Saving, Speed

Line = tuple[str, str]  # a name and what is said of it
HOMES = {"memory": "memory", "cache": "the cache of decoded images on each machine's disk", "stream": "the data itself"}


def table(outlook: Outlook) -> Table:
    """Two columns: a name, and what is said of it."""
    made = Table(box=None, show_header=False, pad_edge=False)
    for name, text in lines(outlook):
        made.add_row(Text(name), Text(text))  # no markup: a name of data may look like some
    return made


def lines(outlook: Outlook) -> list[Line]:
    """All that is to be said, in the order in which it matters."""
    machines = outlook.machines
    at = f" at {outlook.size[0]} x {outlook.size[1]} px" if outlook.size else ""
    on = f"{machines.nodes:,} machines with {machines.devices} x {machines.card}"
    return [
        ("run", f"{outlook.method} on {outlook.encoder}{at}, {outlook.precision}, batches of {outlook.batch_size:,}"),
        ("data", f"{outlook.samples:,} {outlook.things} ({outlook.data}), {rounded(outlook.epochs)} epochs"),
        ("machines", f"{on}, {machines.processes:,} processes, {machines.network}"),
        ("time", _time(outlook)),
        *_speed(outlook.speed),
        *_memory(outlook.memory),
        ("reading", _reading(outlook.reading)),
        ("sending", _sending(outlook.communication)),
        ("checkpoint", _saving(outlook.saving)),
        *(("assumed", line) for line in outlook.assumptions),
    ]


def _time(outlook: Outlook) -> str:
    took = f"{outlook.days:,.1f} days" if outlook.days >= 2 else duration(86_400 * outlook.days)
    return f"{took} for {outlook.steps:,} steps, {outlook.device_hours:,.0f} device hours"


def _speed(speed: Speed) -> list[Line]:
    rates = f"{speed.samples_per_second_process:,.0f} samples/s a process, {speed.samples_per_second:,.0f} in all"
    return [("speed", rates), ("", speed.rests_on)]


def _memory(memory: Memory) -> list[Line]:
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimiser": memory.optimizer,
        "slow self and other state": memory.still,
        "banks": memory.banks,
        "activations": memory.activations,
        "driver": memory.context,
    }
    told = ", ".join(f"{name} {filesize(size)}" for name, size in parts.items() if size)
    return [
        ("memory", f"{filesize(memory.total)} a process, of {filesize(memory.there)}"),
        ("", told),
        ("", f"on the host {filesize(memory.index)} a process for names, digests and order of the samples"),
    ]


def _reading(reading: Reading) -> str:
    if reading.home == "memory":
        return "all samples are held in memory"
    cores = f", {reading.cores:,.0f} cores that decode" if reading.cores else ""
    rates = f"{filesize(reading.bytes_per_second)}/s in all, {filesize(reading.bytes_per_second_machine)}/s a machine"
    return f"{rates}{cores}, from {HOMES[reading.home]}"


def _sending(sending: Communication) -> str:
    if not sending.sent_bytes:
        return "nothing: one process"
    gradients = f"{filesize(sending.gradient_bytes)} of gradients by {sending.algorithm}: each process sends"
    share = f"{sending.share:.1%} of a step, of which {sending.exposed_share:.1%} is not hidden"
    method = f", and {filesize(sending.objective_bytes)} for the method" if sending.objective_bytes else ""
    return f"{gradients} {filesize(sending.sent_bytes)}{method}, {share}"


def _saving(saving: Saving) -> str:
    still = f"training stands still for {saving.still_seconds:.2g} s" if saving.still_seconds else "copied at once"
    return f"{filesize(saving.bytes)}, {still}, written in {duration(saving.seconds)} meanwhile"
