"""The slow copy and the queue: what follows, what stays, and what is part of the state."""

import pytest
import timm
import torch
from torch import nn

from selftaught.contracts import modality
from selftaught.contracts.method import Data
from selftaught.methods import registry
from selftaught.methods.parts import memory
from selftaught.methods.parts.memory import Bank, Queue, refuse_banks_beyond
from selftaught.methods.parts.teacher import Teacher
from selftaught.system.errors import UsageError
from tests.methods.making import KINDS, noise


def test_a_teacher_follows_weights_and_keeps_its_own_statistics() -> None:
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    teacher = Teacher(student)
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    teacher(torch.randn(8, 3))
    statistics = teacher.layers[0][1].running_mean.clone()
    teacher.follow(student, momentum=0.9)
    for own, old in zip(teacher.parameters(), before):
        assert torch.allclose(own, old + 0.1, atol=1e-6) and not own.requires_grad
    assert torch.equal(teacher.layers[0][1].running_mean, statistics) and statistics.abs().sum() > 0
    assert teacher.layers[0][1].num_batches_tracked == 1
    teacher.follow(student, momentum=0.0)
    assert all(torch.allclose(a, b) for a, b in zip(teacher.parameters(), student.parameters()))


def test_a_teacher_answers_without_a_graph_and_is_a_copy() -> None:
    student = nn.Linear(2, 2)
    teacher = Teacher(student, nn.ReLU())
    x = torch.randn(3, 2, requires_grad=True)
    assert not teacher(x).requires_grad and torch.equal(teacher(x), student(x).relu())
    with torch.no_grad():
        student.weight.zero_()
    assert teacher.layers[0].weight.abs().sum() > 0


def test_a_queue_keeps_the_newest_and_survives_its_state() -> None:
    queue = Queue(5, 1)
    for start in (0, 2, 4, 6):
        assert queue.full == (start > 5 - 1)
        queue.push(torch.tensor([[float(start)], [start + 1.0]]))
    assert sorted(queue.features[:, 0].tolist()) == [3, 4, 5, 6, 7] and queue.full
    other = Queue(5, 1)
    other.load_state_dict(queue.state_dict())
    for q in (queue, other):
        q.push(torch.tensor([[8.0]]))
    assert torch.equal(queue.features, other.features) and sorted(queue.features[:, 0].tolist()) == [4, 5, 6, 7, 8]


def test_a_batch_larger_than_the_queue_fills_it_with_its_end() -> None:
    queue = Queue(3, 1)
    queue.push(torch.arange(7.0)[:, None])
    assert sorted(queue.features[:, 0].tolist()) == [4, 5, 6] and queue.full


def test_a_teacher_drops_nothing() -> None:
    student = timm.create_model("test_vit", num_classes=0, drop_path_rate=0.5, proj_drop_rate=0.5)
    teacher, x = Teacher(student).train(), torch.randn(4, 3, 160, 160)
    assert torch.equal(teacher(x), teacher(x))
    assert not torch.equal(student(x), student(x))


# What lets each kind's networks drop something, where they can.
PATHS, WORDS = {"drop_path": 0.5, "depth": 2}, {"dropout": 0.5}
DROPPING = {
    ("images", "tokens"): PATHS,
    ("audio", "tokens"): PATHS,
    ("text", "plain"): WORDS,
    ("text", "tokens"): WORDS,
}


@pytest.mark.parametrize("network", ["plain", "tokens"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_of_any_kind_of_data_drops_nothing(kind: str, network: str) -> None:
    known, dropping = KINDS[kind], DROPPING.get((kind, network), {})
    part = getattr(known, network)
    part = part.model_copy(update={"options": part.options | dropping})
    student = modality.named(kind).build_encoder(part, known.preparation)
    teacher, x = Teacher(student).train(), noise(kind, known.preparation.shape, 8, torch.Generator().manual_seed(0))
    assert torch.equal(teacher(x), teacher(x))
    assert torch.equal(student(x), student(x)) != bool(dropping)


class Attending(nn.Module):
    """Attention of torch's own, a recurrent network and a function, each of which keeps its probability itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
        self.recur = nn.GRU(8, 8, num_layers=2, dropout=0.5, batch_first=True)
        self.input_dropout = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.dropout(x, self.input_dropout, self.training)
        return self.recur(self.attend(x))[0]


def test_a_teacher_of_somebodys_network_drops_nothing_by_functions_either() -> None:
    student = Attending()
    teacher, x = Teacher(student).train(), torch.randn(4, 5, 8)
    assert torch.equal(teacher(x), teacher(x))
    assert student.input_dropout == student.recur.dropout == student.attend.self_attn.dropout == 0.5


@pytest.mark.parametrize(
    ("name", "numbers", "taken"),
    [("instance_discrimination", 128, "51.2 GB"), ("pirl", 128, "51.2 GB"), ("deepcluster", 262, "104.8 GB")],
)
def test_banks_larger_than_the_memory_are_refused_with_the_number(
    name: str, numbers: int, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 40 * 10**9)
    encoder = nn.Sequential()
    encoder.dim, encoder.patch = 4, 1
    with pytest.raises(UsageError, match=f"keeps {numbers} numbers of each of 100,000,000 samples, {taken}") as refused:
        registry.method_class(name)(encoder, Data(10**8, (3, 32, 32), (0.5,) * 3, (0.25,) * 3), dim=128)
    fits = int(str(refused.value).split("--limit ")[1].split(",")[0])
    assert "\n" not in str(refused.value) and "such as moco" in str(refused.value)
    memory.refuse_beyond(40 * 10**9, fits, numbers)


def test_a_device_is_held_to_all_banks_of_a_method() -> None:
    method = nn.ModuleList(Bank(100, 4, filled=False, beside=4) for _ in range(2))
    refuse_banks_beyond(2 * 100 * 4 * 4, method)
    with pytest.raises(UsageError, match="keeps 8 numbers of each of 100 samples, 3 kB"):
        refuse_banks_beyond(2 * 100 * 4 * 4 - 1, method)
    refuse_banks_beyond(0, nn.Linear(2, 2))
