"""The judge of records: a linear probe on frozen features, of single views and of a bag of patches."""

import numpy as np

from selftaught.commands.python import Run
from selftaught.judging import probe as probes
from selftaught.judging.evaluate import open_judged
from selftaught.judging.finetune import Tuning
from selftaught.judging.labelled import splits
from selftaught.judging.probe import Exam
from selftaught.judging.shown import BAG
from selftaught.judging.sources import sources
from selftaught.judging.subsets import parse_labels
from selftaught.run.export import load_encoder
from selftaught.run.recipes import Evaluate
from selftaught.system.allocator import give_back, keep_freed_memory
from selftaught.system.interruption import stopping
from selftaught.system.saying import say

PROBE = "linear"


def judged(run: Run, data: str) -> dict[str, float]:
    """Linear accuracy of frozen features of single views, and of what stands beside them."""
    single = run.evaluate(f"{data}/train", f"{data}/test", probe=PROBE, repeats=1, pretrained="none")
    names = {"trained": "linear", "untrained": "untrained", "pixels": "pixels"}
    return {names[row.features]: round(row.accuracy, 5) for row in single.rows}


def bag_of(run: Run, data: str) -> dict[str, float]:
    """Likewise of a bag of patches, with nothing beside it, which would take as many passes."""
    give_back()  # what an evaluation before this freed lies in pieces, and these features need it whole
    told = {"train": f"{data}/train", "test": f"{data}/test", "probe": PROBE, "features": BAG}
    asked = Evaluate.parse({"run": str(run.folder), **told})
    encoder, probe = load_encoder(asked.run), probes.named(PROBE)
    keep_freed_memory()
    with stopping():
        labelled = open_judged(asked, encoder.preparation)
        (count,) = parse_labels(asked.labels)
        (split,) = splits(labelled, count, 1, asked.seed)
        shown = sources({"trained": encoder}, {"trained": labelled}, asked.seed, {probe.takes}, (BAG,))
        features = shown[probe.takes]["trained"](labelled.part(split.test))
        say("linear probe of a bag of patches")
        exam = Exam(data=labelled, split=split, seed=asked.seed, tuning=Tuning())
        said = probe.predict(features, exam)
    return {BAG: round(float(np.mean(said == labelled.truth[split.test])), 5)}
