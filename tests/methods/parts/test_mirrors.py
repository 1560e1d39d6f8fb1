"""What the host knows of a number on a device, and when it has to ask."""

from copy import deepcopy

import pytest
import torch

from selftaught.methods.parts.memory import Queue
from selftaught.methods.parts.mirrors import Mirror
from tests.methods.making import made, take


def test_what_was_written_is_known_as_the_buffer_rounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror, buffer = Mirror(), torch.zeros(())
    mirror.write(buffer, 0.1)
    expected = buffer.item()
    with monkeypatch.context() as alone:
        alone.setattr(torch.Tensor, "item", lambda self: pytest.fail("the device was asked") if self is buffer else 0.0)
        assert mirror.read(buffer) == expected != 0.1


def test_what_another_has_written_is_asked_for() -> None:
    mirror, buffer = Mirror(), torch.zeros(())
    mirror.write(buffer, 1.0)
    buffer.copy_(torch.tensor(2.0))  # as a checkpoint is restored
    assert mirror.read(buffer) == 2.0
    moved = torch.zeros(()).fill_(0.0).fill_(3.0)  # as it comes to a device, and was written as often
    assert moved._version == buffer._version and mirror.read(moved) == 3.0


def test_a_copy_of_a_queue_goes_its_own_way() -> None:
    queue = Queue(4, 2)
    queue.push(torch.ones(3, 2))
    other = deepcopy(queue)
    other.push(torch.ones(1, 2))
    assert other.full and not queue.full
    queue.load_state_dict(other.state_dict())
    assert queue.full


def test_swav_goes_where_there_is_no_float64() -> None:
    method = made("swav")

    def to_mps(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return tensor.clone()

    method._apply(to_mps)
    assert {value.dtype for value in method.state_dict().values()} == {torch.float32, torch.int64}
    take(method, torch.optim.SGD(method.parameters(), 0.1), 0)
    assert method.seen.item() == pytest.approx(1 / 20)
