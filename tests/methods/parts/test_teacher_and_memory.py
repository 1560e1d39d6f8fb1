"""The slow copy and the queue: what follows, what stays, and what is part of the state."""

import timm
import torch
from torch import nn

from selftaught.methods.parts.memory import Queue
from selftaught.methods.parts.teacher import Teacher


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
