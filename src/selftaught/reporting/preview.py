"""What a method shows a network of somebody's data and asks of it, as a picture or a page."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from selftaught.contracts import modality
from selftaught.contracts.samples import Samples
from selftaught.data.opening import tell_notes
from selftaught.methods import registry
from selftaught.methods.guided import unguided
from selftaught.methods.theirs import laid_to
from selftaught.reporting.page import rendered
from selftaught.run import checkpoint
from selftaught.run.export import encoder_about, load_encoder
from selftaught.run.folder import RunFolder
from selftaught.run.recipes import Pretrain, Preview
from selftaught.system import components, outputs, randomness, written
from selftaught.system.errors import UsageError
from selftaught.system.files import write_atomically
from selftaught.system.interruption import stopping
from selftaught.system.pictures import data_uri, encoded
from selftaught.system.text import printable
from selftaught.training.job import Job, prepare
from selftaught.training.looking.features import as_inputs
from selftaught.training.own_views import refuse_unknown
from selftaught.training.resolve import open_data, preflight, resolve

KINDS: outputs.Kinds = {".png": written.picture("preview"), ".html": written.page("preview", "selftaught preview")}

FAULT = "the method's picture cannot be drawn"


def preview(recipe: Preview, own: Mapping[str, Any] | None = None) -> Path:
    """Draw a few samples, the views made of them and the method's own picture; the file written.

    own: functions that make views, by their names.
    """
    out = Path(recipe.out)
    outputs.refuse_taken({"--out": recipe.out}, recipe.overwrite, {"--out": KINDS})
    job = _job(recipe, own or {})
    preparation = job.samples.preparation
    pictures = modality.named(preparation.modality).PICTURES
    assert pictures, "refused above"
    count = job.recipe.batch_size
    shown = drawn(job, count, recipe.seed)
    with laid_to(job.method, FAULT):
        sheet = pictures.contact_sheet(shown, preparation, columns=count)
    ending = out.suffix.lower()
    file = encoded(sheet, made_by=written.mark("preview")) if ending == ".png" else _page(job, sheet, recipe.run)
    with outputs.brought(out, "--out", recipe.overwrite, KINDS[ending]) as temporary:
        write_atomically(temporary, file)
    return out


def answers(recipe: Preview) -> tuple[dict[str, Tensor], Any]:
    """The pictures of a preview by name, and the preparation that makes their values visible."""
    job = _job(recipe, {})
    return drawn(job, job.recipe.batch_size, recipe.seed), job.samples.preparation


def _job(recipe: Preview, functions: Mapping[str, Any]) -> Job:
    """What a run of these choices would work with; the weights of a run, where one is named.

    Its batch is what is shown: as many samples as were asked for, or all where there are fewer.
    """
    chosen = recipe.handed_on()
    run = RunFolder.open(recipe.run) if recipe.run else None
    if run:
        own = run.recipe
        chosen |= {"method": own.method, "also": own.also, "encoder": own.encoder, "size": own.size}
        chosen |= {"views": recipe.views or own.views, "views_for": recipe.views_for or own.views_for}
        chosen |= {name: getattr(own, name) for name in ("teacher", "teacher_size") if name not in chosen}
    sound = {"precision": "32-true", "layout": "contiguous", "steps": 1, "batch_size": recipe.samples}
    command = Pretrain.parse({**chosen, **sound})
    way = "the version that made this run took it: name the data without --run"
    # Where views are not the command's own, all that has options is the run's.
    with components.options_of(run.folder / "recipe.yaml", way) if run and not recipe.views else nullcontext():
        preflight(command, None)
    refuse_unknown(functions, ",".join(functions), registry.method_class(command.method.name).views)
    if run:  # whose weights are called by what of them learnt
        command = command.model_copy(update={"adapt": own.adapt})
    held = encoder_about(run.folder / "encoder") if run else {}  # of the data that the run was trained on
    with stopping() as stop:
        samples = open_data(command, stop, load_encoder(run.folder).preparation if run else None)
    tell_notes(samples.notes, command.data)
    command = command.model_copy(update={"batch_size": min(recipe.samples, samples.count)})
    samples.own = functions
    kind = modality.named(samples.preparation.modality)
    if not kind.PICTURES:
        raise UsageError(f"there is nothing to see in {kind.THINGS}: preview shows what can be drawn")
    job = prepare(resolve(command, samples), samples, None, held.get("samples"))
    if run:
        groups, _, _ = checkpoint.load_newest(run.checkpoints)
        # Without what told something of samples' metadata, which a preview does not ask for.
        weights = unguided(groups["model"]) if own.suppress or own.predict else groups["model"]
        checkpoint.restore_model(job.method, weights)
    else:
        job.method.start(as_inputs(job.method, _spread(samples, 512)))
    return job


def _spread(samples: Samples, most: int) -> Tensor:
    """So many samples at most, evenly spread, as they are: what a method looks at before it starts."""
    rows = np.linspace(0, samples.count - 1, min(samples.count, most)).astype(np.int64)
    return samples.views(("plain",))(torch.from_numpy(rows), *samples.batch(rows))[0]


def drawn(job: Job, count: int, seed: int) -> dict[str, Tensor]:
    """Image batches by name: samples as they are, every view of them, and the method's own picture."""
    rows = np.linspace(0, job.samples.count - 1, count).astype(np.int64)
    raw = job.samples.batch(rows)
    plain_views = job.samples.views(("plain",))(torch.from_numpy(rows), *raw)
    job.method.eval()
    with torch.no_grad(), randomness.at(seed, 0, slice(0, count)):
        views = job.batches.views_of(rows)
        with laid_to(job.method, FAULT):
            own = {name: shown.cpu() for name, shown in job.method.picture(*views).items()}
    thing = modality.named(job.samples.preparation.modality).THING
    return {thing: plain_views[0], **own}


def _mixed(preparation: Any) -> int | None:
    """How many bands of an image are shown as one; None of what has its own colours, or is no image."""
    channels = preparation.channels if preparation.modality == "images" else 1
    return None if channels in (1, 3) else channels


def _page(job: Job, sheet: Image.Image, run: str | None) -> str:
    method = registry.method_class(job.recipe.method.name)
    options: dict[str, Any] = {name: option.default for name, option in components.options(method).items()}
    return rendered(
        "preview.html",
        method=job.recipe.method.name,
        question=method.question,
        paper=method.paper,
        data=printable(job.recipe.data),
        run=run and printable(run),
        picture=data_uri(sheet),
        mixed=_mixed(job.samples.preparation),
        options=options | job.recipe.method.options,
        views=job.views.describe(),
    )
