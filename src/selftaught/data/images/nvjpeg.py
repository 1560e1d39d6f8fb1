"""JPEGs decoded by a CUDA card: nvJPEG, by way of torchcodec. Its pixels are not quite those of a CPU."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from selftaught.system.errors import OutOfMemory, UsageError, is_out_of_memory

CPU, CUDA = "cpu", "cuda"
SCALES = (8, 4, 2)  # by which libjpeg shrinks what it decodes
NAME = "nvjpeg"
EXIF, APP1, OTHER = b"Exif\0\0", b"\xff\xe1", b"\xff\xef"  # a segment's first bytes, its marker, and one unused
MARKED = 4  # bytes of marker and length in front of a segment
OPTION = f"--jpeg-decoder {CUDA}"


def card() -> str:
    """The card of this process, by the number that its threads do not know of themselves. Raises UsageError."""
    try:
        import torchcodec.decoders  # noqa: F401
    except ImportError:
        raise UsageError(f"{OPTION} needs torchcodec: pip install 'selftaught[nvjpeg]'") from None
    except (RuntimeError, OSError) as error:  # of a build for another PyTorch
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{OPTION} needs torchcodec, which cannot be loaded: {reason}") from None
    if not torch.cuda.is_available():
        raise UsageError(f"{OPTION} needs a CUDA card, and none is seen here: use --jpeg-decoder {CPU}")
    return f"{CUDA}:{torch.cuda.current_device()}"


def decoded(data: bytes, colours: str, at_least: tuple[int, int] | None, device: str) -> NDArray[np.uint8] | None:
    """Pixels (H, W, C) as they are stored, not turned; None of a kind of JPEG that the card does not decode.

    colours: GRAY or RGB; at_least: (H, W); what is larger twice over, four or eight times is shrunk on the card,
    as CPUs decode it at a smaller scale. Raises OutOfMemory.
    """
    from torchcodec.decoders import decode_jpeg

    try:
        pixels = decode_jpeg(_unturned(data), mode=colours, device=device)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"{OPTION}: {device} has no memory left for a JPEG: use a smaller --batch-size") from None
        return None
    if at_least and (factor := _scale(pixels.shape[1:], at_least)) > 1:
        pixels = F.avg_pool2d(pixels.float(), factor, ceil_mode=True, count_include_pad=False).round().byte()
    return pixels.permute(1, 2, 0).cpu().numpy()


def _unturned(data: bytes) -> bytes:
    """With EXIF in a segment of another number, so that pixels stay as they lie; torchcodec turns some of them."""
    place = data.find(EXIF) - MARKED
    end = place + len(APP1)
    return data[:place] + OTHER + data[end:] if place >= 0 and data[place:end] == APP1 else data


def _scale(sides: tuple[int, ...], at_least: tuple[int, int]) -> int:
    fits = (factor for factor in SCALES if all(side >= factor * least for side, least in zip(sides, at_least)))
    return next(fits, 1)
