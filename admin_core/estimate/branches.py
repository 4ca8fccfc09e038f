"""Estimates of branch variances and omegas from a spec: one walk with kernels in place of states.

Everything that a profile measures is an average over many features, and a fresh layer's outputs are
near to Gaussian given its inputs. So variances and covariances of tokens can be carried from
sub-layer to sub-layer as the states are (`kernels`); no weight is drawn and no torch loaded.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from admin_core.applicability import TAKES_OMEGAS
from admin_core.estimate.kernels import Kernel, activated, attended
from admin_core.estimate.weights import (
    branch_gains,
    learned_position_variance,
    token_variance,
)
from admin_core.frames import FRAMES
from admin_core.report import Role
from admin_core.schemes import closed_form_omega, deepnorm_alpha
from admin_core.size import num_sublayers
from admin_core.spec import (
    Activation,
    Architecture,
    ClosedFormOmega,
    DiagnosisSpec,
    FirstValue,
    Norm,
    PaperOmega,
    Positions,
    Scheme,
    Stack,
    SyntheticData,
    SyntheticName,
    TransformerSpec,
)

GROUPS = 32
"""Positions that are told apart; of a longer sequence, groups of neighbours."""

SAME_TOKEN_IN_TEXT = 0.068
"""Share of pairs of bytes of the text `pydoc` that are the same."""

MASKED_SHARE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchEstimate:
    """What a profile would show of one sub-layer, on average over seeds."""

    index: int
    stack: Stack
    path: str
    role: Role
    shortcut_variance: float
    branch_variance: float
    dependency: float
    """Var of the branch as it enters the addition, over that of the sum."""
    omega: float | None
    """None in a stack that takes none."""


def estimate_branches(spec: DiagnosisSpec, model: TransformerSpec) -> list[BranchEstimate]:
    """Every residual branch of the spec's `model`, in forward order."""
    return list(_Walk(spec, model).estimates())


class _Walk:
    def __init__(self, spec: DiagnosisSpec, model: TransformerSpec) -> None:
        self.spec, self.model = spec, model
        self.dropout = model.dropout if spec.omega.dropout else 0.0
        self.on_attention = model.attention_dropout if spec.omega.dropout else 0.0
        self.on_activation = model.activation_dropout if spec.omega.dropout else 0.0

    def estimates(self) -> Iterator[BranchEstimate]:
        memory: Kernel | None = None
        for stack in self.model.layers:
            frame = FRAMES[self.model.scheme_of(stack)]
            x = self._embedding(stack)
            omegas = _Omegas(self.spec, self.model, stack)
            index = 0
            for layer in range(self.model.layers[stack]):
                read = x
                for role in _roles(self.model, stack):
                    parallel = self.model.parallel and role is Role.FEED_FORWARD
                    entering = read if parallel else x
                    f = self._branch(stack, role, entering, memory)
                    applied = omegas.applied()
                    omega = omegas.found(x.variance, f.variance)
                    shortcut, added = self._operands(stack, x, f, applied)
                    total = shortcut.plus(added)
                    index += 1
                    yield BranchEstimate(
                        index=index,
                        stack=stack,
                        path=f"{stack.value}.layers.{layer}.{role.value}",
                        role=role,
                        shortcut_variance=x.variance,
                        branch_variance=f.variance,
                        dependency=added.variance / total.variance,
                        omega=omega,
                    )
                    x = total.normed(self.model.norm) if frame.post_norm else total
            memory = x.normed(self.model.norm) if frame.final_norm else x

    def _embedding(self, stack: Stack) -> Kernel:
        model = self.model
        length = self.spec.training.sequence_length
        groups = min(length, GROUPS)
        of_token = token_variance(model, stack)
        q = np.full(groups, of_token)
        K = np.full((groups, groups), of_token * self._same_token())
        m = None
        if model.positions is Positions.SINUSOIDAL:
            half = model.d_model // 2
            frequency = 10_000.0 ** (-np.arange(half) / max(half - 1, 1))
            at = (np.arange(groups) + 0.5) * length / groups - 0.5
            q += half / model.d_model
            waves = np.concatenate(
                [np.sin(at[:, None] * frequency), np.cos(at[:, None] * frequency)], axis=1
            )
            K += waves @ waves.T / model.d_model
            m = waves.sum(1) / model.d_model
        elif model.positions is Positions.LEARNED:
            q += learned_position_variance(model)
        x = Kernel(q, K, length / groups, m)
        if FRAMES[model.scheme_of(stack)].embedding_norm:
            x = x.normed(self.model.norm)
        return x.dropped(self.dropout)

    def _same_token(self) -> float:
        """Share of pairs of positions that hold the same token."""
        data, vocabulary = self.spec.data, self.model.vocab_size
        same = SAME_TOKEN_IN_TEXT
        if isinstance(data, SyntheticData):
            same = 1 / (vocabulary - 1)
            if data.name is SyntheticName.ZIPF:
                rank = np.arange(1, min(vocabulary, 10**6))
                same = float((1 / rank**2).sum() / (1 / rank).sum() ** 2)
        if self.model.architecture is Architecture.ENCODER_ONLY:
            same = (1 - MASKED_SHARE) ** 2 * same + MASKED_SHARE**2
        return same

    def _branch(self, stack: Stack, role: Role, x: Kernel, memory: Kernel | None) -> Kernel:
        """f_i as it is added, dropout and its last norm included."""
        frame = FRAMES[self.model.scheme_of(stack)]
        read = x.normed(self.model.norm) if frame.pre_norm else x
        if role is Role.FEED_FORWARD:
            f = self._feed_forward(stack, read)
        else:
            f = self._attention(stack, role, read, memory)
        if frame.branch_norm:
            f = f.normed(self.model.norm)
        return f.dropped(self.dropout)

    def _attention(self, stack: Stack, role: Role, read: Kernel, memory: Kernel | None) -> Kernel:
        crosses = role is Role.CROSS_ATTENTION
        keys = memory if crosses and memory is not None else read
        gains = branch_gains(self.model, stack, role)
        logit_variance = 1.0
        if not self.model.qk_norm:
            logit_variance = gains.query * read.q.mean() * gains.key * keys.q.mean()
        context = attended(
            read,
            keys.scaled(gains.value),
            logit_variance=logit_variance,
            causal=stack is Stack.DECODER and not crosses,
            dropout=self.on_attention,
        )
        if FRAMES[self.model.scheme_of(stack)].inner_norm:
            context = context.normed(self.model.norm)
        return context.scaled(gains.output)

    def _feed_forward(self, stack: Stack, read: Kernel) -> Kernel:
        gains = branch_gains(self.model, stack, Role.FEED_FORWARD)
        h, mean_squared = activated(read.scaled(gains.input), self.model.activation)
        h = h.dropped(self.on_activation)
        if FRAMES[self.model.scheme_of(stack)].inner_norm:
            if self.model.norm is Norm.LAYER_NORM and self.model.activation != Activation.SWIGLU:
                h = Kernel(h.q - mean_squared, h.K - mean_squared, h.tokens_per_group)
            h = h.normed(self.model.norm)
        return h.scaled(gains.output)

    def _operands(self, stack: Stack, x: Kernel, f: Kernel, omega: float) -> tuple[Kernel, Kernel]:
        match self.model.scheme_of(stack):
            case Scheme.DEEPNORM:
                counts = self.model.encoder_layers or 0, self.model.decoder_layers or 0
                return x.scaled(deepnorm_alpha(stack, *counts) ** 2), f
            case Scheme.REZERO:
                return x, f.scaled(0.0)
            case _:
                return x.scaled(omega**2), f


class _Omegas:
    """The chain of one stack, as in `admin_core.analysis.conventions`."""

    def __init__(self, spec: DiagnosisSpec, model: TransformerSpec, stack: Stack) -> None:
        self.convention = spec.omega
        self.takes = model.scheme_of(stack) in TAKES_OMEGAS
        self.omega: float | None = 1.0 if self.takes else None
        self.squared: float | None = None
        if self.takes and isinstance(spec.omega, ClosedFormOmega):
            self.omega = closed_form_omega(num_sublayers(model)[stack], spec.omega.scale)

    def applied(self) -> float:
        """The scale on the next shortcut in the pass."""
        if self.omega is None or isinstance(self.convention, PaperOmega):
            return 1.0
        return self.omega

    def found(self, shortcut_variance: float, branch_variance: float) -> float | None:
        omega = self.omega
        if omega is None:
            return None
        match self.convention:
            case ClosedFormOmega():
                return omega
            case PaperOmega():
                if self.squared is None:
                    counts = self.convention.first_value is FirstValue.EMBEDDING_VARIANCE
                    self.squared = shortcut_variance if counts else 0.0
                    omega = math.sqrt(self.squared) if counts else 1.0
                else:
                    omega = math.sqrt(self.squared)
                self.squared += branch_variance
                return omega
            case _:
                self.omega = math.sqrt(omega**2 * shortcut_variance + branch_variance)
                return omega


def _roles(model: TransformerSpec, stack: Stack) -> list[Role]:
    roles = [Role.SELF_ATTENTION, Role.FEED_FORWARD]
    if model.sublayers_per_layer(stack) == 3:
        roles.insert(1, Role.CROSS_ATTENTION)
    return roles
