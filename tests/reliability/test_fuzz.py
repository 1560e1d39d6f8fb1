"""Damaged files of every kind are read or refused in one line, and nothing else; `make soak` tries thousands."""

from pathlib import Path

from tests.reliability.fuzz import kinds, tried


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    known = kinds()
    told = [tried(seed, tmp_path, known) for seed in range(600)]
    assert not [line for line in told if line not in ("read", "refused")]
    assert told.count("refused") > 150 and told.count("read") > 100
