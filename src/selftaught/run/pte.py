"""An encoder or a classifier for ExecuTorch, which runs it on phones and small boards: one sample at a time."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from selftaught.run.agreeing import written
from selftaught.system.errors import UsageError


def to_executorch(encoder: nn.Module, file: Path) -> float:
    """Write it, as XNNPACK's instructions where it has some; the largest deviation of outputs. Raises UsageError."""
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.exir.passes.constant_prop_pass import constant_prop_pass
        from executorch.runtime import Runtime
    except ImportError:
        raise UsageError("export to ExecuTorch needs more packages: pip install 'selftaught[executorch]'") from None

    def write(network: nn.Module, drawn: Callable[[int], Tensor], file: Path) -> None:
        # Positions that are fitted to another size are reckoned once: there is no instruction for that.
        graph = constant_prop_pass(torch.export.export(network, (drawn(1),)))
        lowered = to_edge_transform_and_lower(graph, partitioner=[XnnpackPartitioner()])
        file.write_bytes(lowered.to_executorch().buffer)

    def read(file: Path) -> Callable[[Tensor], Tensor]:
        program = Runtime.get().load_program(file)

        def answer(samples: Tensor) -> Tensor:
            method = program.load_method("forward")  # lives no longer than the program, which this holds
            return method.execute([samples])[0].clone()

        return answer

    return written(encoder, file, write, read, (1, 1, 1), "ExecuTorch")
