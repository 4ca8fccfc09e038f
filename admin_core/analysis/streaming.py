"""Profile and output change with the weights of one sub-layer at a time, whatever the depth.

Several passes go through the model side by side, each with the state that it carries:

    profile      the variances and omegas, in training mode: one for each batch
    unperturbed  x_i, without dropout, with the omegas in place in an Admin stack
    perturbed    x*_i, the same with a random step on the sub-layer's matrices: one for each draw

At each sub-layer the weights are drawn once, every pass goes through, and the weights are let go.
The numbers are those of `profiling` and `amplification` on the model built whole, bit for bit.
Between two layers there is nothing but the states and what was measured: a `Stretch`, which can be
written down, and gone on from.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from admin_core.analysis.amplification import (
    GRADIENT_STEP,
    RANDOM_STEP,
    add_random_step,
    branch_matrices,
    check_state,
    compared,
    output_change,
    per_stack,
    share_of_sum,
)
from admin_core.analysis.profiling import BranchProfile, ProfilePass, average
from admin_core.data.batch import Batch
from admin_core.models.streamed import StreamedTransformer
from admin_core.models.sublayer import ScaledShortcutAddition, SubLayer
from admin_core.report import AmplificationSection, StackName
from admin_core.residual import ResidualBranch, SubLayerBranch, at_additions, residual_branches
from admin_core.seeds import HeldStream
from admin_core.spec import (
    AmplificationSpec,
    OmegaSpec,
    Perturbation,
    RandomStep,
    Scheme,
    Stack,
)


@dataclass(slots=True)
class Carried:
    """What one pass carries from layer to layer."""

    x: Tensor | None = None
    """x_i of the stack that it is in."""
    memory: Tensor | None = None
    """What the stack before handed on."""


@dataclass(slots=True)
class Profiling(Carried):
    """A pass that measures variances, with dropout of its own."""

    found: ProfilePass = field(kw_only=True)
    dropout: HeldStream = field(kw_only=True)


@dataclass(slots=True)
class Perturbed(Carried):
    """A pass through weights that have moved."""

    step: RandomStep = field(kw_only=True)
    draw: int = field(kw_only=True)
    changes: dict[ResidualBranch, Tensor] = field(default_factory=dict)
    """D_i."""


class StreamedModel:
    """One model with fresh weights, and the passes on their way through it."""

    def __init__(
        self,
        model: StreamedTransformer,
        batches: Sequence[Batch],
        *,
        omega: OmegaSpec,
        admin_stacks: Sequence[StackName],
        amplification: AmplificationSpec | None,
        omegas_of_others: Sequence[Sequence[list[BranchProfile]]] = (),
    ) -> None:
        """
        Args:
            batches: one for each profiling pass; the states are compared on the first.
            omega: the convention, as in `profile`.
            admin_stacks: those that omegas are found for.
            amplification: how the output change is measured; None for not at all.
            omegas_of_others: what other models' passes found, which the omegas that are put in
                place are averaged with.
        """
        self.model, self.omega, self.others = model, omega, omegas_of_others
        self.branches = residual_branches(model.shapes)
        self.place = {branch: place for place, branch in enumerate(self.branches)}
        self.batch = batches[0]
        for batch in batches:
            batch.check(model.spec.vocab_size)
        self.profiling = [
            Profiling(
                found=ProfilePass(self.branches, batch, admin_stacks=admin_stacks, omega=omega),
                dropout=HeldStream(model.seed, f"dropout.{step}", model.device),
            )
            for step, batch in enumerate(batches)
        ]
        self.amplification = amplification
        self.unperturbed = Carried()
        self.shares: dict[ResidualBranch, Tensor] = {}
        self.perturbed: list[Perturbed] = []
        if amplification is not None:
            steps = [RandomStep.SIGN]
            if Perturbation.GAUSSIAN in amplification.also:
                steps.append(RandomStep.GAUSSIAN)
            self.perturbed = [
                Perturbed(step=step, draw=draw)
                for step in steps
                for draw in range(amplification.draws)
            ]
        self.layers_done = 0

    @property
    def layers(self) -> list[tuple[Stack, list[SubLayerBranch]]]:
        """The sub-layers of each layer, in forward order."""

        def layer_of(branch: SubLayerBranch) -> tuple[StackName, str]:
            return branch.stack, branch.path.rpartition(".")[0]

        return [
            (Stack(stack), list(of_layer))
            for (stack, _), of_layer in groupby(self.branches, key=layer_of)
        ]

    @torch.no_grad()
    def run(self, *, before_part: Callable[[int], None], after_layer: Callable[[], None]) -> None:
        """Take every pass from where it is to the end of the model.

        Args:
            before_part: called often, with the number of layers that are done.
            after_layer: called between two layers, when all that the model holds can be written
                down.
        """
        layers = self.layers
        left = [branch.path for _, branches in layers[self.layers_done :] for branch in branches]
        with closing(self.model.sublayers(left)) as sublayers:
            for number, (stack, branches) in enumerate(layers):
                if number < self.layers_done:
                    continue
                if number == 0 or layers[number - 1][0] is not stack:
                    self._begin(stack)
                reads = [
                    carried.x if self.model.spec.parallel else None for carried in self._passes()
                ]
                for branch in branches:
                    before_part(number)
                    self._through(
                        branch, next(sublayers), reads, lambda: before_part(self.layers_done)
                    )
                if number + 1 == len(layers) or layers[number + 1][0] is not stack:
                    self._end(stack)
                self.layers_done = number + 1
                after_layer()

    def profiles(self) -> list[list[BranchProfile]]:
        """What each profiling pass found, in forward order."""
        return [passing.found.profiles(self.branches) for passing in self.profiling]

    def output_changes(self) -> AmplificationSection | None:
        """What the perturbed passes found."""
        if self.amplification is None:
            return None
        dependency = torch.stack([self.shares[branch] for branch in self.branches]).tolist()
        found = {
            step: per_stack(
                self.branches,
                dependency,
                torch.stack(
                    [
                        torch.stack([moved.changes[branch] for branch in self.branches])
                        for moved in self.perturbed
                        if moved.step is step
                    ]
                ),
            )
            for step in dict.fromkeys(moved.step for moved in self.perturbed)
        }
        return AmplificationSection(
            random=found[RandomStep.SIGN],
            random_step=RANDOM_STEP,
            draws=self.amplification.draws,
            gaussian=found.get(RandomStep.GAUSSIAN),
            gradient=None,
            gradient_step=GRADIENT_STEP,
            update={},
        )

    def _passes(self) -> Iterator[Carried]:
        yield from self.profiling
        if self.amplification is not None:
            yield self.unperturbed
            yield from self.perturbed

    def _inputs(self, stack: Stack, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Tokens and padding of a stack, and the padding of what it cross-attends to."""
        name = "source" if stack is Stack.ENCODER else "target"
        memory_padding = batch.inputs.get("source_padding") if stack is Stack.DECODER else None
        return batch.inputs[name], batch.inputs.get(f"{name}_padding"), memory_padding

    def _begin(self, stack: Stack) -> None:
        """The embedding, from which all unperturbed and perturbed passes begin alike."""
        for passing in self.profiling:
            tokens, *_ = self._inputs(stack, passing.found.batch)
            with (
                self.model.embedding_of(stack, tokens) as embedding,
                passing.dropout.entered(),
            ):
                passing.x = embedding.train(self.omega.dropout)(tokens)
        if self.amplification is not None:
            tokens, *_ = self._inputs(stack, self.batch)
            with self.model.embedding_of(stack, tokens) as embedding:
                self.unperturbed.x = embedding.train(False)(tokens)
            for moved in self.perturbed:
                moved.x = self.unperturbed.x

    def _end(self, stack: Stack) -> None:
        """Hand on what follows the last sub-layer. The stack after a perturbed one attends to the
        unperturbed memory."""
        for carried in (*self.profiling, self.unperturbed):
            if carried.x is not None:
                carried.memory = self.model.after_last(stack, carried.x)
        for carried in self._passes():
            carried.x = None

    def _through(
        self,
        branch: SubLayerBranch,
        sublayer: SubLayer,
        reads: Sequence[Tensor | None],
        between: Callable[[], None],
    ) -> None:
        """Every pass through one sub-layer."""

        def call(carried: Carried, batch: Batch, read: Tensor | None, memory: Tensor | None) -> Any:
            _, padding, memory_padding = self._inputs(Stack(branch.stack), batch)
            crosses = branch.role == "cross_attention"
            return sublayer(
                carried.x,
                read=read if branch.role == "feed_forward" else None,
                memory=memory if crosses else None,
                padding=memory_padding if crosses else padding,
            )

        read = iter(reads)
        sublayer.train(self.omega.dropout)
        for passing in self.profiling:
            with passing.found.watching([branch]), passing.dropout.entered():
                passing.x = call(passing, passing.found.batch, next(read), passing.memory)
            between()
        if self.amplification is None:
            return
        self._put_omega_in_place(branch, sublayer)
        sublayer.train(False)
        memory = self.unperturbed.memory

        def measure(branch: ResidualBranch, shortcut: Tensor, output: Tensor) -> None:
            self.shares[branch] = share_of_sum(branch, shortcut, output)

        with at_additions([branch], measure):
            self.unperturbed.x = call(self.unperturbed, self.batch, next(read), memory)
        before = compared(branch, self.unperturbed.x, self.batch)
        check_state(branch, before, float(self.shares[branch]))
        for moved in self.perturbed:
            between()
            with moved_weights(branch, moved.step, seed=self.model.seed, draw=moved.draw):
                moved.x = call(moved, self.batch, next(read), memory)
            moved.changes[branch] = output_change(before, compared(branch, moved.x, self.batch))

    def _put_omega_in_place(self, branch: SubLayerBranch, sublayer: SubLayer) -> None:
        if self.model.spec.scheme_of(Stack(branch.stack)) is not Scheme.ADMIN:
            return
        at = self.place[branch]
        own = [passing.found.profiles([branch]) for passing in self.profiling]
        others = [[[of_pass[at]] for of_pass in of_model] for of_model in self.others]
        omega = average([own, *others])[0].omega
        assert isinstance(sublayer.add, ScaledShortcutAddition), "an Admin stack has omegas"
        if omega is not None:
            sublayer.add.omega.fill_(omega)


@contextmanager
def moved_weights(
    branch: SubLayerBranch, step: RandomStep, *, seed: int, draw: int
) -> Iterator[None]:
    """Within the block, each matrix of the branch is that one plus its random step. A moved copy is
    made when its module is called, and let go after."""
    paths = {id(weight): path for path, weight in branch_matrices([branch]).items()}

    def move(module: nn.Module, _: Any) -> None:
        weight = module.get_parameter("weight")
        kept[module] = weight.data
        weight.data = weight.data.clone()
        add_random_step({paths[id(weight)]: weight}, step, seed=seed, draw=draw)

    def move_back(module: nn.Module, *_: Any) -> None:
        module.get_parameter("weight").data = kept.pop(module)

    kept: dict[nn.Module, Tensor] = {}
    with ExitStack() as hooks:
        for module in branch.sublayer.branch.modules():
            if isinstance(module, nn.Linear):
                hooks.enter_context(module.register_forward_pre_hook(move))
                hooks.enter_context(module.register_forward_hook(move_back))
        yield
