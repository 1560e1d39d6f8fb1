"""What a pre-training on many machines is foreseen to take: plain facts, whose names are the keys of `plan --json`."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Machines(_Part):
    """On what it is to run."""

    nodes: int
    devices: int  # of each
    processes: int
    card: str  # a name, or what is here
    network: str  # of each machine
    network_bytes_per_second: float


class Memory(_Part):
    """Bytes on the device of one process, and on its host."""

    weights: float  # that learn
    gradients: float
    optimizer: float
    still: float  # a slow self, a teacher, queues, statistics
    banks: float  # kept of each sample of the data
    activations: float  # with the views, and what passes in the backward pass
    context: float  # what a card's driver and libraries take
    total: float
    there: float  # on the device
    index: float  # on the host: names, digests and the order of the samples


class Speed(_Part):
    """How fast it is."""

    step_seconds: float  # on whole views
    first_step_seconds: float  # on the smaller ones of --grow
    compute_seconds: float  # of a step
    samples_per_second_process: float
    samples_per_second: float
    rests_on: str


class Reading(_Part):
    """What the data must give."""

    home: str  # memory, cache or stream: where samples come from
    sample_bytes: float  # as they are read
    bytes_per_second: float
    bytes_per_second_machine: float
    storage_bytes_per_second: float  # that each machine's is taken to give
    cores: float  # of each machine, for decoding


class Communication(_Part):
    """What processes send each other in a step."""

    algorithm: str  # by which gradients are summed
    gradient_bytes: float
    sent_bytes: float  # by each process, in the ring that sums gradients
    objective_bytes: float  # by each process, for what its method gathers and sums
    seconds: float
    share: float  # of a step, were none of it hidden
    exposed_share: float  # of a step, that is not hidden behind the backward pass


class Saving(_Part):
    """A checkpoint."""

    bytes: float
    still_seconds: float  # that training stands still, for the copy on the host
    seconds: float  # until it is written, while training goes on


class Outlook(_Part):
    """All that `plan` has to say."""

    data: str
    things: str  # images or rows
    samples: int
    method: str
    encoder: str
    size: tuple[int, int] | None  # (H, W), of images
    precision: str
    batch_size: int
    epochs: float
    steps: int
    machines: Machines
    memory: Memory
    speed: Speed
    reading: Reading
    communication: Communication
    saving: Saving
    days: float
    device_hours: float
    measured: dict[str, float]  # of a sample, unless the name says otherwise
    assumptions: list[str]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return self.model_dump(mode="json")
