"""What networks that labels trained have said, kept in the folder of the run until the evaluation of it is written.

One takes minutes and an evaluation trains several, so one that was cut goes on after its last whole network. What is
kept is known by all that it came of, and so serves no other question.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from selftaught.contracts.encoder import Encoder, digest_of
from selftaught.judging.probe import Exam, Probe
from selftaught.run.folder import RunFolder, versions
from selftaught.run.layout import FOLDERS, UNFINISHED
from selftaught.system.arrays import array_in, npy
from selftaught.system.errors import UsageError
from selftaught.system.files import write_atomically
from selftaught.system.ownership import refuse_odd
from selftaught.system.saying import say
from selftaught.system.text import printable

LARGEST = 1 << 30  # bytes of what one network has said


class Memo:
    """Answers of networks by what they came of; of what is no run, or cannot be written, nothing is kept."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._keeps = RunFolder(run).exists()
        self._files: set[Path] = set()
        self._told = False

    def said(self, probe: Probe, source: Any, exam: Exam) -> Any:
        """What the probe says, from before if it was asked just so and trains a network."""
        if probe.takes != "encoder" or not self._keeps:
            return probe.predict(source, exam)
        file = self._run / UNFINISHED / f"{_identity(probe, source, exam)}.npy"
        self._files.add(file)
        with suppress(OSError, ValueError, EOFError):
            answer = array_in(file, LARGEST)
            if not self._told:
                say(f"{probe.work}: what an evaluation before this had trained when it was cut is not trained again")
            self._told = True
            return answer
        answer = probe.predict(source, exam)
        self._keep(file, answer)
        return answer

    def _keep(self, file: Path, answer: Any) -> None:
        try:
            RunFolder(self._run).own(UNFINISHED)
            refuse_odd(self._run, {UNFINISHED: FOLDERS[UNFINISHED]})
            file.parent.mkdir(exist_ok=True)
            write_atomically(file, npy(answer))
        except (UsageError, OSError) as error:
            self._keeps = False
            say(f"note: a cut would lose the networks trained so far, as nothing can be kept: {printable(str(error))}")

    def forget(self) -> None:
        """Remove what was kept: the evaluation is written."""
        with suppress(OSError):
            for file in self._files:
                file.unlink(missing_ok=True)
            (self._run / UNFINISHED).rmdir()  # unless another evaluation has something there


def _identity(probe: Probe, encoder: Encoder, exam: Exam) -> str:
    """The same for the same network, taught in the same way, of the same samples and labels."""
    data, split = exam.data, exam.split
    facts = {
        "versions": versions(),
        "probe": probe.work,
        "encoder": digest_of(encoder),
        "untrained": exam.kind == "untrained",
        "seed": exam.seed + split.repeat,
        "tuning": asdict(exam.tuning),
        "data": [samples.fingerprint for samples in data.sources],
        "preparation": data.train.preparation.model_dump(mode="json"),
        "names": data.names,
        "task": data.task,
    }
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode("utf-8"), digest_size=16)
    for part in (data.truth, data.classes, data.group, split.train, split.test):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
