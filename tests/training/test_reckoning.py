"""What follows from a cost for many machines: each number by hand, and what cannot be in one line."""

from dataclasses import replace
from math import log2
from typing import Any

import pytest
import torch

from selftaught.contracts import modality
from selftaught.run.plan import Plan
from selftaught.run.recipes import Planning
from selftaught.system.cards import CARDS, NETWORKS, card_called, network_of
from selftaught.system.errors import UsageError
from selftaught.training.measuring.batch_size import TRANSIENT
from selftaught.training.measuring.cost import Cost
from selftaught.training.resolve import Counted, resolve
from selftaught.training.scale import fleet
from selftaught.training.scale import reckoning as by
from selftaught.training.scale.fleet import Fleet, Source
from selftaught.training.scale.foreseeing import reckoned
from selftaught.training.scale.outlook import Outlook

COST = Cost(
    operations=2e10, kept=5e7, views=1e6, always=1e8, learnt=10**8, still=10**7, optimizer=2 * 10**8,
    saved=3 * 10**8, of_each=0.0, norms=50,
)  # fmt: skip
SOURCE = Source("photos", "images", 10**8, True, 1e5, 2e5, 43.0)
H100 = CARDS["h100"]
FLEET = Fleet(2, 8, H100, here=False, network="8xndr", storage=1e12, rate=None)


def plan_of(**told: Any) -> Plan:
    recipe = Planning.parse({"encoder": "resnet18", "size": 224, "batch_size": 1024, "epochs": 1, **told})
    kind = modality.named("images")
    made = resolve(recipe, Counted(SOURCE.count, kind.guess(recipe.size, recipe.encoder)))
    return made.model_copy(update={"precision": "bf16-mixed"})


PLAN = plan_of()


def outlook(
    plan: Plan = PLAN, cost: Cost = COST, source: Source = SOURCE, fleet: Fleet = FLEET, **told: Any
) -> Outlook:
    return reckoned(Planning.parse(told), plan, cost, source, fleet)


def test_time_on_a_card_that_is_not_here_is_products_and_what_its_memory_moves() -> None:
    found = outlook(plan_of(norm="device"), fleet=replace(FLEET, nodes=1, devices=1))
    sample = 2e10 / (by.PRODUCTS * 989e12) + by.PASSES * 5e7 / 3.35e12
    assert found.speed.compute_seconds == pytest.approx(1024 * sample) == found.speed.step_seconds
    assert found.speed.samples_per_second == pytest.approx(1 / sample)
    assert "estimated, not measured" in found.speed.rests_on and "70%" in found.speed.rests_on
    assert found.steps == 10**8 // 1024 and found.days == pytest.approx(found.steps * 1024 * sample / 86400)
    assert found.communication.seconds == 0 == found.communication.sent_bytes


def test_processes_share_the_batch_and_their_rates_add_up() -> None:
    found = outlook()
    assert found.machines.processes == 16
    assert found.speed.samples_per_second == pytest.approx(16 * found.speed.samples_per_second_process)
    assert found.speed.samples_per_second == pytest.approx(1024 / found.speed.step_seconds)
    assert found.device_hours == pytest.approx(24 * 16 * found.days)


def test_a_rate_that_was_measured_counts_and_is_named() -> None:
    found = outlook(fleet=replace(FLEET, rate=500.0))
    assert found.speed.compute_seconds == 64 / 500 and "you have measured" in found.speed.rests_on
    timed = replace(COST, seconds=0.01)
    assert outlook(cost=timed).speed.compute_seconds != 0.64  # of another device
    here = outlook(cost=timed, fleet=replace(FLEET, here=True)).speed
    assert here.compute_seconds == 0.64 and here.rests_on.startswith("measured on this h100")


def test_processes_of_a_cpu_share_its_cores_and_memory() -> None:
    cpu = replace(H100, name="cpu", memory=64e9)
    found = outlook(cost=replace(COST, seconds=0.01), fleet=replace(FLEET, card=cpu, here=True))
    assert found.speed.compute_seconds == pytest.approx(8 * 0.64)
    assert found.memory.there == 8e9 and found.memory.context == 0


def test_memory_is_the_sum_of_its_parts() -> None:
    memory = outlook().memory
    assert (memory.weights, memory.gradients, memory.optimizer, memory.still) == (1e8, 1e8, 2e8, 1e7)
    assert memory.activations == pytest.approx(1e8 + TRANSIENT * 64 * 5e7)
    assert memory.total == pytest.approx(4.1e8 + memory.activations + by.CONTEXT) and memory.there == 80e9
    assert memory.index == 1e8 * (by.KEY + 43 + by.PLACE + by.ORDERS + by.DIGEST)
    some = plan_of(order="blocks").model_copy(update={"first_pass": "sample"})
    assert outlook(some).memory.index == 1e8 * (by.KEY + 43) and outlook(some).reading.home == "stream"
    chunked = outlook(plan_of(encode_chunk=16)).memory
    assert chunked.activations == pytest.approx(1e8 + TRANSIENT * 16 * 5e7 + 48 * 1e6)
    assert outlook(plan_of(encode_chunk=16)).speed.compute_seconds > outlook().speed.compute_seconds


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does() -> None:
    small = replace(FLEET, card=CARDS["t4"], network="ethernet-50")
    large = plan_of(batch_size=16 * 1024)
    with pytest.raises(UsageError, match=r"t4 has 16.0 GB; of its 1,024 samples 128 fit: use --encode-chunk 128,"):
        outlook(large, fleet=small)
    assert outlook(plan_of(batch_size=16 * 1024, encode_chunk=128), fleet=small).memory.total < 16e9
    with pytest.raises(UsageError, match=r"use a smaller --encoder"):
        outlook(cost=replace(COST, learnt=10**11))


def test_banks_are_held_by_every_process_and_refused_with_the_number() -> None:
    banked = replace(COST, of_each=512.0)
    found = outlook(cost=banked)
    assert found.memory.banks == 5.12e10 and found.saving.bytes == 5.12e10 + 3e8
    with pytest.raises(UsageError, match=r"128 numbers of each of 100,000,000 samples, 51.2 GB in every process, and"):
        outlook(cost=banked, fleet=replace(FLEET, card=CARDS["a10"]))
    with pytest.raises(UsageError, match=r"5120.0 GB in every process.* such as moco or swav"):
        outlook(cost=banked, source=replace(SOURCE, count=10**10))


def test_a_ring_sends_nearly_twice_the_gradients_through_the_slowest_link() -> None:
    quick = plan_of(norm="device")
    found = outlook(quick).communication
    assert found.sent_bytes == 2 * 15 / 16 * 1e8
    hops = 4 * by.HOP * log2(16)  # of four buckets
    assert found.seconds == pytest.approx(found.sent_bytes / (by.ACHIEVED * 400e9) + hops)
    assert found.exposed_share == 0 < found.share < 0.1  # behind the backward pass
    slow = outlook(quick, fleet=replace(FLEET, network="ethernet-1")).communication
    assert slow.seconds > 100 * found.seconds and 0 < slow.exposed_share < slow.share < 1
    one = outlook(quick, fleet=replace(FLEET, nodes=1, network="ethernet-1")).communication
    assert one.seconds == pytest.approx(one.sent_bytes / (by.ACHIEVED * 450e9) + 4 * by.HOP * log2(8))


def test_batch_norms_wait_for_those_whose_samples_they_see() -> None:
    waits = {norm: outlook(plan_of(norm=norm)).communication.seconds for norm in ("global", "node", "device")}
    assert waits["global"] - waits["device"] == pytest.approx(2 * 50 * by.HOP * 4)
    assert waits["node"] - waits["device"] == pytest.approx(2 * 50 * by.HOP * 3)


def test_what_objectives_gather_is_waited_for() -> None:
    """64 samples of each of 16 processes."""
    quick = plan_of(norm="device")
    asking = outlook(quick, replace(COST, gathered=1e5, shuffled=1e3, summed=1e6, exchanges=3)).communication
    none = outlook(quick).communication
    sent = 15 * (64 * 1e5 + (2 * 1e6 + 64 * 1e3) / 16)
    assert asking.objective_bytes == pytest.approx(sent) and none.objective_bytes == 0
    waits = sent / (by.ACHIEVED * 400e9) + 3 * 4 * by.HOP
    assert asking.seconds - none.seconds == pytest.approx(waits)
    assert asking.exposed_share > none.exposed_share and asking.sent_bytes == none.sent_bytes


def test_small_views_at_first_take_less_time_and_are_read_faster() -> None:
    whole, grown = outlook(plan_of(norm="device")), outlook(plan_of(norm="device", grow="0.5:0.75"))
    assert grown.speed.step_seconds == whole.speed.step_seconds == whole.speed.first_step_seconds
    assert grown.speed.first_step_seconds == pytest.approx(whole.speed.step_seconds / 4, rel=0.1)
    assert grown.memory == whole.memory
    each = (0.75 * grown.speed.first_step_seconds + 0.25 * whole.speed.step_seconds) / whole.speed.step_seconds
    assert grown.days == pytest.approx(each * whole.days) and 0.43 < each < 0.5
    fast = whole.speed.step_seconds / grown.speed.first_step_seconds
    assert grown.reading.bytes_per_second == pytest.approx(fast * whole.reading.bytes_per_second)
    assert outlook(plan_of(grow="0.5:0.75"), budget="1d").days == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("count", "files", "told", "home", "sample"),
    [
        (1000, True, {}, "memory", 0.0),
        (10**5, True, {}, "cache", 2e5),
        (10**8, True, {}, "stream", 1e5),
        (10**8, True, {"cache": "30TB"}, "cache", 2e5),
        (10**8, False, {}, "cache", 2e5),  # arrays are read as they are
    ],
)
def test_what_is_read_depends_on_where_samples_are_held(
    count: int, files: bool, told: dict[str, Any], home: str, sample: float
) -> None:
    plan = PLAN.model_copy(update=Planning.parse(told).model_dump(include={"cache"}))
    found = outlook(plan, source=replace(SOURCE, count=count, files=files))
    assert (found.reading.home, found.reading.sample_bytes) == (home, sample)
    assert found.reading.bytes_per_second == pytest.approx(sample * found.speed.samples_per_second)
    assert found.reading.bytes_per_second_machine == pytest.approx(found.reading.bytes_per_second / 2)
    streams = home == "stream"
    assert found.reading.cores == pytest.approx(streams * found.speed.samples_per_second / 2 / by.DECODED)


def test_reading_that_storage_does_not_give_is_refused_with_what_would_do() -> None:
    need = outlook().reading.bytes_per_second_machine
    assert outlook(fleet=replace(FLEET, storage=1.01 * need))
    with pytest.raises(UsageError, match=r"each machine has to read .* --storage gives .* or --devices 4$"):
        outlook(fleet=replace(FLEET, storage=0.5 * need))


def test_a_save_is_copied_at_once_and_written_as_fast_as_it_is_hashed() -> None:
    saving = outlook().saving
    assert saving.bytes == 3e8 and saving.still_seconds == 3e8 / 64e9 and saving.seconds == 0.3
    source = replace(SOURCE, count=1000)
    assert outlook(source=source, fleet=replace(FLEET, storage=1e8)).saving.seconds == 3.0


def test_a_budget_decides_the_steps() -> None:
    found = outlook(budget="1d")
    assert found.days == pytest.approx(1, abs=1e-4) and found.epochs == pytest.approx(found.steps * 1024 / 1e8)


def test_cards_are_known_by_their_drivers_names_and_their_networks_exist() -> None:
    known = {
        "NVIDIA H100 80GB HBM3": "h100",
        "NVIDIA A100-SXM4-80GB": "a100",
        "NVIDIA A100-SXM4-40GB": "a100-40gb",
        "NVIDIA L40S": "l40s",
        "NVIDIA L4": "l4",
        "Tesla T4": "t4",
        "Tesla V100-SXM2-32GB": "v100",
        "NVIDIA GeForce RTX 4090": "4090",
    }
    assert {name: getattr(card_called(name), "name", None) for name in known} == known
    assert card_called("NVIDIA GeForce GTX 1080") is None and card_called("cpu") is None
    others = ["Tesla V100-SXM2-16GB", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA H100 PCIe", "NVIDIA H200 NVL"]
    others += ["NVIDIA GeForce RTX 3090 Ti", "NVIDIA GeForce RTX 4090 D", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"]
    others += ["NVIDIA H100 96GB HBM3", "NVIDIA A100-PCIE-40GB"]
    assert not [name for name in others if card_called(name)]
    for card in CARDS.values():
        assert network_of(card.network) > 0 and card.source and card.memory > 1e10
        assert card.half is None or card.half >= card.single
    assert network_of("8xndr") == 8 * NETWORKS["ndr"] / 8 == 400e9 and network_of("ethernet-10") == 1.25e9


def test_a_card_at_hand_has_no_more_memory_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "called", lambda device: "NVIDIA H100")
    for there, memory in ((64e9, 64e9), (85e9, 80e9)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, there=there: (1, int(there)))
        own = fleet.fleet_of(Planning(samples=10))
        assert own.here and own.card == replace(H100, memory=memory)
    assert fleet.fleet_of(Planning(samples=10, card="h100")).card == H100


def test_weights_that_are_spread_take_less_memory_and_more_sending() -> None:
    whole, spread = outlook(shard="none"), outlook(plan_of(shard="8"), shard="8")
    assert spread.memory.gradients == whole.memory.gradients / 8 and spread.memory.optimizer == 2 * 10**8 / 8
    assert spread.memory.weights == 10**8 / 8 + 10**8  # the leader looks at a whole copy
    assert whole.communication.sent_bytes == 2 * 15 / 16 * 10**8
    assert spread.communication.sent_bytes == (3 * 7 + 2 * 1 / 2) / 8 * 10**8
    assert spread.communication.algorithm != whole.communication.algorithm == outlook().communication.algorithm
    large = replace(COST, learnt=2 * 10**10, optimizer=4 * 10**10, kept=1e6)
    assert outlook(cost=large).memory.gradients == 2 * 10**10 / 2, "80 GB want twice the half of a device"
    with pytest.raises(UsageError, match="--shard 3 does not divide the number of processes, 16"):
        outlook(plan_of(shard="3"), shard="3")
    with pytest.raises(UsageError, match="use a smaller --encoder"):
        outlook(cost=large, shard="none")
