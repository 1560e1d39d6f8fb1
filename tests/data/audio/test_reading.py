"""Clips from every kind of file: what is told apart, resampled, mixed, put aside and refused."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from selftaught.contracts import modality
from selftaught.data.audio import decode as decoding
from selftaught.data.audio.decode import DecodeError, decode, resampled
from selftaught.data.audio.inspection import inspect
from selftaught.data.audio.samples import open_samples
from selftaught.system.errors import BrokenData, DataError, UsageError
from tests.data.audio.tones import RATE, folder, tone, wav


def written(sound: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def pitch(sound: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(sound)).argmax() * rate / len(sound))


@pytest.mark.parametrize(("form", "rate"), [("WAV", 8000), ("FLAC", 8000), ("OGG", 8000), ("MP3", 16_000)])
def test_every_format_is_read_mixed_and_brought_to_one_rate(form: str, rate: int) -> None:
    left = tone(440, 0.5, rate)
    told, sound = decode(written(np.stack([left, np.zeros_like(left)], axis=1), rate, form), 4000)
    assert (told.format, told.rate, told.channels) == (form, rate, 2) and abs(told.seconds - 0.5) < 0.1
    assert abs(len(sound) - 2000) < 400 and abs(pitch(sound, 4000) - 440) < 12 and sound.dtype == np.float32
    assert 0.2 < np.abs(sound).max() < 0.35  # half of what one channel has


def test_what_is_resampled_keeps_what_can_be_kept_and_nothing_else() -> None:
    at = np.arange(44_100) / 44_100
    low, high = (np.sin(2 * np.pi * hertz * at).astype(np.float32) for hertz in (1000, 15_000))
    made = resampled(low, 44_100, 16_000)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    assert len(made) == 16_000 and np.abs(made - wanted)[200:-200].max() < 2e-3
    assert np.abs(resampled(high, 44_100, 16_000))[200:-200].max() < 0.02  # it lies above half of the new rate
    assert len(resampled(low, 1_000_000, 100)) == 5


def test_folders_and_archives_of_sounds_are_told_apart_from_images(here: Path, photos: Path) -> None:
    folder(here / "clips", 3)
    with zipfile.ZipFile("clips.zip", "w") as archive:
        archive.mkdir("train")
        for file in sorted((here / "clips").rglob("*.wav")):
            archive.write(file, f"train/{file.relative_to(here / 'clips')}")
    names = ("clips", "clips.zip", "clips.zip/train", str(photos), "nowhere")
    assert [modality.of(name).THINGS for name in names] == [*["clips"] * 3, *["images"] * 2]
    (photos / "note.wav").write_bytes(b"")
    assert modality.of(str(photos)).THINGS == "images" and modality.of(f"audio:{photos}").THINGS == "clips"
    one, other = open_samples("clips"), open_samples("audio:clips.zip/train", labelled=True)
    assert one.fingerprint == other.fingerprint and other.labels == ["high"] * 3 + ["low"] * 3
    Path("labels.csv").write_text("path,label\nhigh/00.wav,a\nlow/01.wav,b\n")
    assert open_samples("clips", labels=Path("labels.csv"), labelled=True).labels == ["a", "b"]
    for name in ("clips/high/00.wav", "audio:clips/high/00.wav"):
        assert modality.of(name).THINGS == "clips"
        with pytest.raises(DataError, match=r"high/00\.wav is a single clip: name its folder, clips/high$"):
            open_samples(name)
    with pytest.raises(DataError, match=r"labels\.csv is neither a folder nor an archive of these: \.zip, \.tar"):
        open_samples("audio:labels.csv")
    with pytest.raises(DataError, match=r"no clip in photos can be read; the first: note\.wav is no sound that can be"):
        open_samples(f"audio:{photos}")
    (photos / "note.wav").unlink()
    with pytest.raises(DataError, match=r"no clips in .*photos: saw 48 \.jpg; clips are \.wav \.flac"):
        open_samples(f"audio:{photos}")


def test_a_preparation_is_kept_and_others_rates_are_brought_to_its_own(here: Path) -> None:
    folder(here / "clips", 4)
    wav(here / "clips/low/fast.wav", tone(300, 0.3, 8000), 8000)
    samples = open_samples("clips")
    assert samples.preparation.rate == RATE and samples.preparation.shape == (1, 64, 96)
    assert "clips are resampled to 4,000 Hz: 1 of 8,000 Hz" in samples.notes
    assert "9 clips are shorter than the 0.96 s of a view, with silence round them" in samples.notes
    (views,) = samples.views(["plain"])(torch.arange(9), *samples.batch(np.arange(9)))
    inside = samples.preparation.unit(samples.preparation.levels(views))
    assert views.shape == (9, 1, 64, 96) and inside.min() < 1e-6 and inside.max() > 0.999
    folder(here / "others", 2)
    again = open_samples("others", like=samples.preparation)
    assert again.preparation is samples.preparation
    finer = open_samples("clips", sampling_rate=2000, size=(32, 20)).preparation
    assert (finer.rate, finer.size, finer.window, finer.hop) == (2000, (32, 20), 50, 20)
    with pytest.raises(UsageError, match="--size 512x96: of clips it is mels x frames, up to 256 x 16384"):
        open_samples("clips", size=(512, 96))


def test_what_cannot_be_used_is_put_aside_with_the_reason(here: Path) -> None:
    folder(here / "clips", 2)
    bad = {
        "silent": written(np.zeros(2000)),
        "short": written(tone(300, 0.01)),
        "against": written(np.stack([tone(300), -tone(300)], axis=1)),
        "none": written(np.zeros(0)),
        "odd": b"RIFF, or so it says",
        "long": written(np.zeros(601 * 100), 100),
        "slow": written(tone(3, 3, 50), 50),
        "nan": written(np.array([0.1, np.nan] * 500), subtype="FLOAT"),
    }
    for name, data in bad.items():
        Path("clips/low", f"{name}.wav").write_bytes(data)
    Path("clips/notes.txt").write_text("")
    with pytest.raises(
        BrokenData, match=r"8 of 12 clips in clips cannot be used, more than 1%; the first: low/against"
    ):
        open_samples("clips")
    samples = open_samples("clips", tolerance=0.9)
    told = {Path(key).stem: reason for key, reason in samples.quarantined}
    assert told.keys() == bad.keys() and samples.count == 4
    assert told["silent"] == "is silent from its beginning to its end"
    assert told["against"].endswith("to its end, as its 2 channels cancel each other once they are mixed")
    assert told["short"] == "lasts 10 ms, less than a window of 25 ms" and told["none"] == "holds no sound at all"
    assert told["odd"].startswith("is no sound that can be read: ")
    assert told["long"] == "lasts 601 s, longer than 600 s: cut it into clips"
    assert told["slow"] == "has 50 samples a second: 100 to 1,000,000 can be read"
    assert told["nan"] == "holds values that are not finite (NaN or infinite)"
    found = inspect("clips", tolerance=0.9)
    assert {Path(file.path).stem: file.reason for file in found.broken} == told and found.usable
    assert not inspect("clips").usable and "8 of 12 clips (66.7%) cannot be used" in inspect("clips").problems[0]
    assert found.ignored[0].reason == "not named like a sound"


def test_clips_too_loud_to_have_levels_are_put_aside(here: Path) -> None:
    folder(here / "clips", 2)
    for name, most in (("loud", 2.0**35), ("louder", 1e22), ("whole", 2.0**23)):  # of 24 bits some are written so
        Path("clips/low", f"{name}.wav").write_bytes(written(most * tone(300), subtype="FLOAT"))
    samples = open_samples("clips", tolerance=0.9)
    assert samples.keys[-1] == "low/whole.wav" and samples.preparation.high > 100
    assert type(samples.preparation).model_validate(samples.preparation.model_dump()) == samples.preparation
    told = dict(samples.quarantined)
    assert told["low/loud.wav"] == "is no sound by its values, which reach 1.8e+10, where 1 is loudest"
    assert told.keys() == {"low/loud.wav", "low/louder.wav"}
    assert {file.path: file.reason for file in inspect("clips", tolerance=0.9).broken} == told
    with pytest.raises(ValueError, match="high"):
        samples.preparation.levelled(np.array([[250.0]], np.float16))


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC", "OGG", "MP3"])
def test_what_ends_before_its_time_is_no_clip(kind: str) -> None:
    data = written(tone(300, 3.0, 16_000), 16_000, form=kind)
    assert len(decode(data, 16_000)[1]) == pytest.approx(48_000, abs=4608)
    for share in (0.9, 0.5, 0.2):
        with pytest.raises(DecodeError):
            decode(data[: int(share * len(data))], 16_000)


def test_what_was_written_without_knowing_its_end_is_whole() -> None:
    """As a program writes a WAV that hands it on while it goes: its sizes are the largest there are."""
    data = written(tone(300, 1.0))
    place = data.index(b"data") + 4
    streamed = data[:4] + b"\xff" * 4 + data[8:place] + b"\xff" * 4 + data[place + 4 :]
    assert len(decode(streamed, RATE)[1]) == RATE


def test_more_than_memory_holds_is_refused_and_so_is_a_bomb(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(here / "clips", 2)
    with pytest.raises(DataError, match=r"clips of clips take .* as spectrograms, more than --memory 4 kB: raise it"):
        open_samples("clips", memory=4096)
    monkeypatch.setattr(decoding, "MOST", 1000)
    with pytest.raises(DecodeError, match="has 2 channels of 1,200 values, together more than 1,000"):
        decode(written(np.zeros((1200, 2)), form="FLAC"), RATE)


def test_without_the_library_one_line_names_the_extra(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(here / "clips", 1)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    decoding.library.cache_clear()
    with pytest.raises(UsageError, match=r"sound needs soundfile: pip install 'selftaught\[audio\]'"):
        open_samples("clips")
    decoding.library.cache_clear()


def test_check_tells_what_clips_are_like(here: Path) -> None:
    folder(here / "clips", 3)
    wav(here / "clips/low/both.wav", np.stack([tone(300)] * 2, axis=1))
    Path("clips/high/copy.wav").write_bytes(Path("clips/high/00.wav").read_bytes())
    found = inspect("clips")
    assert found.clips and found.clips.rates == {"4000": 8} and found.clips.channels == {"1": 7, "2": 1}
    assert found.clips.seconds.min == 0.12 and found.clips.seconds.max == 0.3 and found.clips.rate == 4000
    assert found.duplicates == [["high/00.wav", "high/copy.wav"]] and found.labels == {"high": 4, "low": 4}
    assert "1 clips have several channels, which are mixed to one" in found.notes
