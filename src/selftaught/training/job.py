"""Everything one pre-training works with, built from a recipe that leaves nothing open."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from selftaught.contracts import modality
from selftaught.contracts.encoder import CALLS, Encoder
from selftaught.contracts.method import Data, Method, Training
from selftaught.contracts.samples import MakeViews, Preparation, Samples
from selftaught.methods import registry
from selftaught.methods.guided import guided
from selftaught.methods.parts.memory import refuse_banks_beyond
from selftaught.methods.theirs import held_to_contract, laid_to
from selftaught.methods.together import Together
from selftaught.run import checkpoint
from selftaught.run.folder import RunFolder
from selftaught.run.plan import Plan
from selftaught.run.quantities import NONE
from selftaught.run.rows import whole
from selftaught.run.weights import load_initial_weights
from selftaught.system import components, distributed, processes
from selftaught.system.batch_norms import share_batch_norms
from selftaught.system.devices import device_of, kernels
from selftaught.system.errors import UsageError
from selftaught.system.memory import machine_memory
from selftaught.system.text import filesize
from selftaught.training.adapting import adapt
from selftaught.training.batches import Batches, Smaller
from selftaught.training.chunks import encode_in_chunks
from selftaught.training.devices import set_attention
from selftaught.training.engine import Engine
from selftaught.training.fit import Watch, fit
from selftaught.training.hooks import Hooks
from selftaught.training.layers import first_half, layer_scales
from selftaught.training.onlooker import Onlooker
from selftaught.training.optimizers import build_optimizer
from selftaught.training.own_views import views_of
from selftaught.training.presets import training_preset
from selftaught.training.related_views import RelatedViews
from selftaught.training.resolve import named_methods, refuse_unfit
from selftaught.training.starting import teacher_of
from selftaught.training.views import options_of


@dataclass
class Job:
    """Everything one pre-training works with."""

    recipe: Plan
    samples: Samples
    method: Method
    weights: str  # where the encoder's weights come from
    training: Training
    optimizer: Optimizer
    views: MakeViews
    batches: Batches
    engine: Engine
    forward: Any  # the method as it is called: wrapped for its device, precision and processes
    shown: Method  # the method as a single process looks at it: a whole copy, where weights are spread over several
    onlooker: Onlooker | None = None  # who is asked at each look, if anybody is
    hooks: Hooks = field(default_factory=Hooks)  # who hears of steps and looks
    listed: dict[int, str] = field(default_factory=dict)  # broken samples that are listed, by number, with the reasons
    begun: dict[str, Tensor] = field(default_factory=dict)  # some weights and features as a run began that goes on now
    trained: float = 0.0  # seconds that a run was trained for before it goes on now
    moves: int = 0  # times that the weights have become others: by a step, or as they were put back
    gathered: int | None = None  # of these, what is shown is as after so many

    def fit(self, *, watch: Watch = lambda step, terms: None, **how: Any) -> None:
        """Train the method; `how`: steps, start, until and bad, see `training.fit`."""

        def moved(step: int, terms: dict[str, Tensor]) -> None:
            self.moves += 1
            watch(step, terms)

        own = {"training": self.training, "seed": self.recipe.seed, "forward": self.forward, "watch": moved}
        with (
            kernels(self.batches.device, self.recipe.deterministic),
            self.batches.of_run(how["steps"], how.get("until") or how["steps"]),
        ):
            fit(self.method, self.optimizer, self.batches, **own, **how)

    @property
    def spread(self) -> bool:
        """Whether the weights are spread over processes."""
        return bool(self.forward.spread)

    def renew(self) -> None:
        """In the process that leads: let what is shown be as the method is, if it is another; the others take part.

        Weights are gathered once after each step, whoever asks for them.
        """
        if self.spread and self.gathered != self.moves:
            processes.order("renew")
            self.gather()
            self.gathered = self.moves

    @torch.no_grad()
    def gather(self) -> None:
        """In every process: bring the weights together where they are shown."""
        own = self.shown.state_dict() if self.shown is not self.method else {}
        for name, tensor in checkpoint.model_tensors(self.method).items():
            value = whole(tensor)
            if name in own:
                own[name].copy_(value)


def prepare(plan: Plan, samples: Samples, module: nn.Module | None, count: int | None = None) -> Job:
    """Build all that a plan names, seeded, before any step; for `count` samples, if these are only some."""
    return arranged(*build(plan, samples, module, count), plan, samples)


def arranged(method: Method, weights: str, plan: Plan, samples: Samples) -> Job:
    """A network with all that a plan puts round it; the same one can be arranged again, another way.

    What makes a new network of it, compiling and chunks, is not done anew: see `build`.
    """
    training = training_preset(method, plan)
    set_attention(method, plan.attention)
    channels_last = plan.layout == "channels_last"
    method = method.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    views = _views(method, plan, samples)
    engine = Engine(plan.precision, device_of(plan.device))
    if engine.device.type == "cuda":  # which may hold less than the machine, where they were made
        refuse_banks_beyond(torch.cuda.mem_get_info(engine.device)[1], method)
    if distributed.world_size() > 1 and plan.norm != "device":
        share_batch_norms(method, processes.node_group() if plan.norm == "node" else None)
    shard = int(plan.shard) if plan.shard != NONE and distributed.world_size() > 1 else 1
    shown = deepcopy(method) if shard > 1 and distributed.rank() == 0 else method
    forward: Any = engine.setup(method, shard)
    if shown is not method:
        with distributed.alone():
            engine.setup(shown)
    optimizer = build_optimizer(method, training, plan.batch_size, *_by_layer(method.encoder.net, training))
    which: dict[str, Any] = {"batch_size": plan.batch_size, "seed": plan.seed, "order": plan.order}
    which |= samples.guidance.batches() if samples.guidance else {}
    small = Smaller(_views(method, plan, samples, plan.grow.side), plan.grow, plan.steps) if plan.grow else None
    batches = Batches(samples, views, device=engine.device, at_first=small, **which)
    return Job(plan, samples, method, weights, training, optimizer, views, batches, engine, forward, shown)


def _views(method: Method, plan: Plan, samples: Samples, side: float = 1.0) -> MakeViews:
    """What makes a method's views as a plan has them, with this share of their side."""
    how: dict[str, Any] = {"patch": method.encoder.patch, "channels_last": plan.layout == "channels_last"}
    options = options_of(plan, modality.named(samples.preparation.modality), method.views)
    if side != 1.0:
        whole = samples.views(method.views, options=options, **how).describe()
        options = {name: {**options.get(name, {}), "scale": side * chosen["scale"]} for name, chosen in whole.items()}
    if samples.guidance and samples.guidance.partners:
        return RelatedViews(method.views, samples, options=options, **how)
    return views_of(samples, method.views, options=options, **how)


def _by_layer(net: nn.Module, training: Training) -> tuple[dict[nn.Parameter, float], set[nn.Parameter]]:
    """What the learning rates of an encoder's weights are multiplied by, and those that learn later."""
    scales = layer_scales(net, training.layer_decay) if training.layer_decay < 1 else {}
    return scales, first_half(net) if training.frozen else set()


def _compile_encoders(method: nn.Module) -> None:
    """Compile every encoder in place, a teacher's copy too: nearly all the work, and none of the random numbers."""
    for encoder in method.modules():
        if isinstance(encoder, Encoder):
            encoder.compile()
            for name in CALLS:
                if hasattr(encoder, name) and name != "forward":
                    setattr(encoder, name, torch.compile(getattr(encoder, name)))


def predicted_bytes(job: Job) -> tuple[int, int]:
    """Of a checkpoint, with two numbers of the optimiser's a weight at most, and of the exported encoder."""
    held = checkpoint.bytes_of({"model": checkpoint.model_tensors(job.method)})
    learnt = sum(p.nbytes for p in job.method.parameters() if p.requires_grad)
    return held + 2 * learnt, sum(tensor.nbytes for tensor in job.method.encoder.state_dict().values())


def build(plan: Plan, samples: Samples, module: nn.Module | None, count: int | None = None) -> tuple[Method, str]:
    """The method with its encoder, and a line about where the weights come from.

    `count` is the number of samples it is made for, where these are only some of them.
    """
    preparation = samples.preparation
    kind = modality.named(preparation.modality)
    data = Data.of(preparation, count or samples.count)
    if module is None and any(part.options for part in (plan.encoder, *named_methods(plan))):
        _refuse_beyond_memory(plan, preparation, data)
    torch.manual_seed(plan.seed)
    encoder: Encoder = kind.build_encoder(plan.encoder, preparation, module)
    encoder.leave_out()
    refuse_unfit(plan, encoder, kind)
    going_on = plan.resume and plan.out and checkpoint.steps(RunFolder(plan.out).checkpoints)
    if going_on:
        weights = "as they were saved"
    else:
        weights = load_initial_weights(encoder, plan.init, preparation.modality) if plan.init else "fresh weights"
    encoder.keeps_statistics = plan.statistics == "init"
    adapt(encoder, plan.adapt)
    method = _asked(plan, encoder, data, preparation)
    if samples.guidance and samples.guidance.asked:
        method = guided(method, samples.guidance.asked, data)
    if plan.compile:
        _compile_encoders(method)
    if plan.encode_chunk:  # outside of what is compiled, so that every chunk has the shape that was compiled for
        encode_in_chunks(method, plan.encode_chunk)
    return method, weights


def _asked(plan: Plan, encoder: Encoder, data: Data, preparation: Preparation) -> Method:
    """The method of a plan, with its helper where there is one."""
    built: list[Method] = []
    for part in named_methods(plan):
        cls = registry.method_class(part.name)
        # A teacher is kept for the next run, and the last one may have left it in double precision.
        given = (encoder, data, *([teacher_of(plan, preparation).encoder.float()] if cls.needs_teacher else ()))
        if cls.needs_color and data.shape[0] != 3:
            raise UsageError(f"{part.name} needs colour images; these have {data.shape[0]} channel(s)")
        chosen = components.checked(f"method {part.name}", cls, part.options)
        with laid_to(cls, f"the method {part.name} cannot be built"):
            built.append(held_to_contract(cls(*given, **chosen)))
    return Together(built[0], built[1], data, weight=plan.also.weight) if plan.also else built[0]


def on_paper(plan: Plan, preparation: Preparation, count: int, module: nn.Module | None) -> Method:
    """The method of a plan for so many samples, whose weights have shapes and no numbers."""
    kind = modality.named(preparation.modality)
    data = Data.of(preparation, count)
    with torch.device("meta"):
        encoder = kind.build_encoder(plan.encoder, preparation, module and deepcopy(module).to("meta"))
        encoder.leave_out()
        return _asked(plan, encoder, data, preparation)


def _refuse_beyond_memory(plan: Plan, preparation: Preparation, data: Data) -> None:
    """Refuse a network that is larger than the machine, before it takes the memory there is to say so."""
    try:
        method = on_paper(plan, preparation, data.count, None)
    except Exception:  # said, if it is one of the plan's faults, by whoever builds it of numbers
        return
    needed = sum(tensor.nbytes for tensor in method.state_dict().values())
    if needed > machine_memory():
        raise UsageError(
            f"the network would take {filesize(needed)}, and the machine has {filesize(machine_memory())} of memory; "
            "make the widths and depths smaller that --method and --encoder are given"
        )
