"""A network that others have taught, small and made on the spot, for methods that learn from one."""

from pathlib import Path
from typing import Any

import torch

from selftaught.data.images.encoders import build_encoder
from selftaught.data.images.preparation import Preparation
from selftaught.methods import registry
from selftaught.run.export import save_encoder
from selftaught.system.components import Part


def teacher_for(method: str, folder: Path) -> dict[str, Any]:
    """What a recipe of this method says of its teacher, which is made in `folder`; nothing where it has none."""
    if not registry.method_class(method).needs_teacher:
        return {}
    part = Part(name="test_convnext")
    seen = Preparation(channels=3, size=(32, 32), low=0, high=255, mean=(0.5,) * 3, std=(0.25,) * 3)
    if not folder.exists():
        torch.manual_seed(7)
        save_encoder(build_encoder(part, seen), part, seen, folder, {})
    return {"teacher": str(folder)}
