"""From what a step costs to what a run takes on many machines, by assumptions that are all named.

Where no time was measured on such a device it is an estimate, a sum of two: products at a share of the card's peak, and
its memory moving what is kept for the backward pass a few times. `bench/plans.py` holds it to rates that others have
published.
"""

from dataclasses import dataclass, replace
from math import ceil, log2

from selftaught.contracts import modality
from selftaught.data.cache import CACHE
from selftaught.methods.parts.memory import refuse_beyond
from selftaught.run.plan import Plan
from selftaught.run.quantities import NONE
from selftaught.system.cards import network_of
from selftaught.system.errors import UsageError
from selftaught.system.text import filesize
from selftaught.training.measuring import spreading
from selftaught.training.measuring.batch_size import LARGEST, TRANSIENT, USED
from selftaught.training.measuring.cost import Cost
from selftaught.training.resolve import power_of_two
from selftaught.training.scale.fleet import Fleet, Source
from selftaught.training.scale.outlook import Communication, Memory, Reading, Saving, Speed

PRODUCTS = 0.7  # share of its peak at which a card makes products; like PASSES, chosen by bench/plans.py
PASSES = 10  # times that its memory moves what is kept
AGAIN = 4 / 3  # operations of a step that encodes in chunks: one more forward pass
CONTEXT = 1e9  # bytes that a card's driver and libraries take
ACHIEVED = 0.8  # share of a link's rate that collectives reach
HOP = 10e-6  # seconds that a collective takes for each doubling of the processes, however little it sends
BUCKET = 25 << 20  # bytes of gradients that torch's DDP sends at once
BACKWARD = 2 / 3  # of a step's computing: behind so much of it, sending hides
DECODED = 385.0  # images a second that a core decodes: photos of 224 px, docs/results/input.json
HASHED = 1e9  # bytes a second of a checkpoint that a process writes, with their SHA-256
KEY, PLACE, ORDERS, DIGEST = 49, 8, 2 * 8, 16  # bytes of a Python text beside its letters, and of what else is held
NORM_SENDS = 2  # collectives of a batch norm over processes: one forward, one backward


@dataclass(frozen=True)
class Reckoning:
    """One plan on one fleet."""

    plan: Plan
    cost: Cost
    source: Source
    fleet: Fleet
    work: float = 1.0  # of a step, as a share of one on whole views

    def at_first(self) -> "Reckoning":
        """Of the steps that have smaller views, where there are any: their work goes by pixels."""
        return replace(self, work=self.plan.grow.side**2) if self.plan.grow else self

    @property
    def share(self) -> int:
        """Samples of a process."""
        return self.plan.batch_size // self.fleet.processes

    @property
    def at_once(self) -> int:
        """Samples that the encoder takes at a time."""
        return min(self.share, self.plan.encode_chunk or self.share)

    def refuse_banks(self) -> None:
        """Raise UsageError where what is kept of each sample does not fit the card."""
        numbers = round(self.cost.of_each / 4)
        if numbers:
            refuse_beyond(int(self.fleet.card.memory), self.source.count, numbers)

    @property
    def there(self) -> float:
        """Bytes that a process may take on its device; those of a CPU share their machine's."""
        return self.fleet.card.memory / (self.fleet.devices if self.fleet.is_cpu else 1)

    def memory(self) -> Memory:
        """What a process takes. Raises UsageError where the device has less."""
        parts = {**self._held(), "activations": self._activations()}
        total = sum(parts.values())
        if total > self.there:
            self._refuse(total)
        return Memory(**parts, total=total, there=self.there, index=self._index())

    @property
    def sampled(self) -> bool:
        """Whether a run looks at some samples at first; at what is at hand it looks, whatever was asked for."""
        return self.source.files and self.plan.first_pass == "sample"

    def _index(self) -> float:
        """What is held of all samples; their places and digests only where all are looked at."""
        held = (PLACE + DIGEST) * (not self.sampled) + ORDERS * (self.plan.order == "full")
        return self.source.count * (KEY + self.source.key + held)

    @property
    def shard(self) -> int:
        """Processes that hold the weights together. Raises UsageError where they cannot, as a run would."""
        if (shard := self.plan.shard) == NONE:
            return 1
        spreading.refuse_undivided(shard, self.fleet.processes)
        spreading.refuse_compiled(shard, self.plan)
        return int(shard)

    def spread(self) -> "Reckoning":
        """With weights over as few processes as `--shard auto` takes, which is none where a device has room for all."""
        taken, room, count = (
            2 * self.cost.learnt + self.cost.optimizer,
            spreading.USED * self.there,
            self.fleet.processes,
        )
        size = spreading.fewest(taken, room, count)
        return replace(self, plan=self.plan.model_copy(update={"shard": NONE if size == 1 else str(size)}))

    def _held(self) -> dict[str, float]:
        """What does not depend on the batch; of spread weights the leader has a whole copy, too."""
        weights, shard = self.cost.learnt, self.shard
        return {
            "weights": weights if shard == 1 else weights / shard + weights,
            "gradients": weights / shard,
            "optimizer": self.cost.optimizer / shard,
            "still": self.cost.still,
            "banks": self.cost.banks(self.source.count),
            "context": 0.0 if self.fleet.is_cpu else CONTEXT,
        }

    def _activations(self) -> float:
        waiting = self.cost.views * (self.share - self.at_once)
        return self.cost.always + TRANSIENT * self.cost.kept * self.at_once + waiting

    def _refuse(self, total: float) -> None:
        needs = f"a process needs {filesize(total)} of memory, and {self.fleet.card.name} has {filesize(self.there)}"
        if not (fits := self.fitting()):
            held = filesize(sum(self._held().values()))
            raise UsageError(f"{needs}; {held} are weights and what goes with them: use a smaller --encoder")
        raise UsageError(
            f"{needs}; of its {self.share:,} samples {fits:,} fit: use --encode-chunk {fits}, --batch-size "
            f"{fits * self.fleet.processes}, or more --nodes"
        )

    def fitting(self) -> int:
        """The power of two of samples that fits a process's device beside all else; 0 where not even two do."""
        left = USED * self.there - sum(self._held().values()) - self.cost.always
        most = int(left / (TRANSIENT * self.cost.kept))
        return min(LARGEST, power_of_two(most)) if most >= 2 else 0

    def speed(self, sending: Communication) -> Speed:
        """Computing, and what of the sending it does not hide."""
        computing, rests_on = self._computing()
        step, first = computing / (1 - sending.exposed_share), self.at_first()
        rate = self.plan.batch_size / step
        return Speed(
            step_seconds=step,
            first_step_seconds=first._computing()[0] / (1 - first.communication().exposed_share),
            compute_seconds=computing,
            samples_per_second_process=rate / self.fleet.processes,
            samples_per_second=rate,
            rests_on=rests_on,
        )

    def _computing(self) -> tuple[float, str]:
        """Seconds of a step without the others, and what that rests on."""
        seconds, rests_on = self._computing_whole()
        return self.work * seconds, rests_on

    def _computing_whole(self) -> tuple[float, str]:
        fleet, cost = self.fleet, self.cost
        if fleet.rate:
            return self.share / fleet.rate, f"--rate: {fleet.rate:,.0f} samples/s of a device, as you have measured"
        if fleet.here and cost.seconds:
            cores = fleet.devices if fleet.is_cpu else 1  # which a machine's processes share
            seconds = self.share * cores * self._again * cost.seconds
            return seconds, f"measured on this {fleet.card.name}, {self.plan.way}"
        return self.share * self._estimated(), (
            f"estimated, not measured, for {fleet.card.name} in {self.plan.way}: {PRODUCTS:.0%} of its peak, and its "
            f"memory moving {PASSES} times what is kept; give --rate where you have measured"
        )

    @property
    def _again(self) -> float:
        """Times the operations of a step that encodes all at once."""
        return AGAIN if self.at_once < self.share else 1.0

    def _estimated(self) -> float:
        """Seconds of a sample on a card that is not here."""
        card = self.fleet.card
        peak = (card.half if self.plan.precision == "bf16-mixed" else card.single) or card.single
        products = self._again * self.cost.operations / (PRODUCTS * peak)
        return products + PASSES * self.cost.kept / card.bandwidth

    def communication(self) -> Communication:
        """A ring sums gradients bucket by bucket while the backward pass goes on; batch norms wait for each other.

        Spread weights are gathered in both passes, and their gradients summed by shares, then over all who have one.
        """
        computing, _ = self._computing()
        gradients, count, shard = self.cost.learnt, self.fleet.processes, self.shard
        alike = count // shard
        sent = (3 * (shard - 1) + 2 * (alike - 1) / alike) / shard * gradients
        ring = sent / (ACHIEVED * self._slowest()) + ceil(gradients / BUCKET) * self._hops(count)
        asked, asking = self._exchanged()
        waits = self._norms() + asking
        exposed = max(0.0, ring - BACKWARD * computing) + waits
        return Communication(
            algorithm="ring all-reduce" if shard == 1 else "all-gather and reduce-scatter",
            gradient_bytes=gradients,
            sent_bytes=sent,
            objective_bytes=asked,
            seconds=ring + waits,
            share=(ring + waits) / (computing + ring + waits),
            exposed_share=exposed / (computing + exposed),
        )

    def _slowest(self) -> float:
        """Bytes a second of the slower of the links that a ring goes through; a machine's ports share the rings."""
        inside = self.fleet.card.link
        if self.fleet.nodes == 1:
            return inside
        across = network_of(self.fleet.network)
        return min(inside, across) if self.fleet.devices > 1 else across

    def _hops(self, count: int) -> float:
        return HOP * ceil(log2(count)) if count > 1 else 0.0

    def _norms(self) -> float:
        """Seconds that batch norms wait for those of other processes."""
        counts = {"global": self.fleet.processes, "node": self.fleet.devices, "device": 1}
        return NORM_SENDS * self.cost.norms * self._hops(counts[self.plan.norm])

    def _exchanged(self) -> tuple[float, float]:
        """Bytes that a process sends for its method, and the seconds that take, which nothing hides.

        What is gathered goes to each of the others, and its gradient comes from each; what is summed goes round a ring,
        and of what is shuffled each has a share.
        """
        cost, count = self.cost, self.fleet.processes
        once = cost.gathered * self.share + (2 * cost.summed + cost.shuffled * self.share) / count
        sent = (count - 1) * once
        return sent, sent / (ACHIEVED * self._slowest()) + cost.exchanges * self._hops(count)

    def reading(self, rate: float) -> Reading:
        """What data must give at so many samples a second. Raises UsageError where storage gives less."""
        source, fleet = self.source, self.fleet
        home = self._home()
        sample = {"memory": 0.0, "cache": source.stored, "stream": source.read}[home]
        machine = rate / fleet.nodes
        need = machine * sample
        if need > fleet.storage:
            raise UsageError(
                f"each machine has to read {filesize(need)} a second ({machine:,.0f} samples of {filesize(sample)}), "
                f"and --storage gives {filesize(fleet.storage)}: use files of {filesize(fleet.storage / machine)} "
                f"(--sample-bytes), such as smaller or more compressed images, storage that gives more, or "
                f"{self._fewer(need)}"
            )
        return Reading(
            home=home,
            sample_bytes=sample,
            bytes_per_second=rate * sample,
            bytes_per_second_machine=need,
            storage_bytes_per_second=fleet.storage,
            cores=machine / DECODED if home == "stream" and source.files else 0.0,
        )

    def _fewer(self, need: float) -> str:
        devices = int(self.fleet.devices * self.fleet.storage / need)
        return f"--devices {devices}" if devices else "slower devices"

    def _home(self) -> str:
        """Where samples come from: as `data/storage.py` chooses, on a machine whose disk has room for its cache."""
        if self.sampled:
            return "stream"
        decoded = round(self.source.count * self.source.stored)
        if decoded <= self.plan.memory:
            return "memory"
        if not self.source.files or not modality.of(self.plan.data).cache_bytes(decoded, self.plan.memory):
            return "cache"
        return "cache" if decoded <= (self.plan.cache or CACHE) else "stream"

    def saving(self) -> Saving:
        """A checkpoint, with all banks."""
        size = self.cost.saved + self.cost.banks(self.source.count)
        still = 0.0 if self.fleet.is_cpu else size / self.fleet.card.host
        return Saving(bytes=size, still_seconds=still, seconds=size / min(self.fleet.storage, HASHED))


def assumptions(fleet: Fleet) -> list[str]:
    """What a reckoning takes for granted, each with where it is from."""
    card = fleet.card
    return [
        f"{card.name}: {card.source}",
        f"network of each machine: {fleet.network}, {filesize(network_of(fleet.network))} a second each way",
        f"collectives reach {ACHIEVED:.0%} of a link and take {HOP * 1e6:.0f} us for each doubling of the processes; "
        f"gradients are summed in a ring, {BUCKET >> 20} MB at a time, behind {BACKWARD:.0%} of the computing; what "
        "objectives gather and sum is waited for",
        f"activations and what passes beside them: {TRANSIENT} times what a step keeps, as pretrain reckons",
        f"a core decodes {DECODED:.0f} photos a second (docs/results/input.json); storage gives each machine "
        f"{filesize(fleet.storage)} a second (--storage); a checkpoint is hashed and written at "
        f"{filesize(min(fleet.storage, HASHED))} a second",
    ]
