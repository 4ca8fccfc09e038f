"""Fold the omegas of an Admin model into its other weights: a plain Post-LN model, same outputs.

Notation:
    x_i             state after sub-layer i, x_i = LN_i(omega_i * x_{i-1} + f_i(x_{i-1}))
    omega_i         scale on the shortcut, per feature; all products with it are per feature
    gamma_i, b_i    scale and shift of LN_i, so that x_i = gamma_i * z_i + b_i
    W               a matrix of f_i that reads its input: query, key and value of self-attention,
                    query of cross-attention, the input (and gate) matrix of a feed-forward branch
    y_i             state of the folded model

Choose y_i = omega_{i+1} * x_i, the shortcut of the next sub-layer as its addition sees it. Then

    gamma'_i = omega_{i+1} * gamma_i,  b'_i = omega_{i+1} * b_i   so that LN'_i gives y_i
    W' = W diag(1 / omega_i)                       so that f'_i(y_{i-1}) = f_i(x_{i-1})
    y_i = LN'_i(y_{i-1} + f'_i(y_{i-1}))

and each norm sees the very sum that it saw before, epsilon included. Nothing follows the last
sub-layer, so y_N = x_N: what reads a stack's output (logits, cross-attention's key and value) is
left alone. RMSNorm folds alike, without a shift.

The first omega needs y_0 = omega_1 * x_0, a scaled embedding. Where omega_1 = 1, as the `clinic`
convention leaves it before training, there is nothing to do. Elsewhere

    x_0 = s * E[token] + p      becomes      E' = E diag(omega_1),  p' = omega_1 * p

which takes an embedding E that nobody else reads and positions p that are weights. An embedding
tied to the other stack or to the logits, and fixed sinusoidal positions, are refused with
`TiedEmbeddingError`; with `untie` the folded model gets an embedding for each stack, an output
projection, and learned positions instead, all filled so that the outputs stay the same.

Dropout. Evaluation mode gives the same outputs up to rounding. So does training mode under the
same masks: every dropout acts on x_0, inside a branch after W, or on f_i, and commutes with a scale
per feature. Further training differs: the optimizer sees other weights, weight decay included.

Source: Liu et al., EMNLP 2020, arXiv:2004.08249, appendix; Transformer-Clinic's issue 5.
"""

import torch
from torch import Tensor

from admin_core.analysis.omega_state import admin_branches
from admin_core.errors import FoldingError, InvalidSpecError, TiedEmbeddingError
from admin_core.models.embedding import sinusoidal_positions
from admin_core.models.transformer import Transformer
from admin_core.omega_files import tensor_name
from admin_core.report import Role
from admin_core.residual import ResidualBranch, residual_branches
from admin_core.spec import Positions, Scheme, Stack, StackSchemes, TransformerSpec

INPUT_MATRICES = {
    Role.SELF_ATTENTION: ("query", "key", "value"),
    Role.CROSS_ATTENTION: ("query",),
    Role.FEED_FORWARD: ("input", "gate"),
}
"""The matrices that read a branch's input, where the branch has them; a cross-attention's key and
value read the memory."""

State = dict[str, Tensor]


@torch.no_grad()
def fold(
    model: Transformer, spec: TransformerSpec, *, untie: bool = False
) -> tuple[Transformer, TransformerSpec]:
    """A plain Post-LN model with the outputs of `model`, and its spec; `model` is left as it is.

    Args:
        model: with Admin's omegas in at least one stack, trained or not.
        spec: what `model` was built from.
        untie: whether a first omega that is not 1 may turn tied embeddings into one for each stack
            and an output projection, and sinusoidal positions into learned ones, of which there
            are `spec.max_positions`.

    Returns:
        A model on the same device and in the same mode, and the spec with which
        `build_transformer` builds it; its state dict holds no omega.

    Raises:
        InvalidSpecError: no stack of `spec` is Admin.
        FoldingError: an omega is zero or not finite at some feature; names it.
        TiedEmbeddingError: a first omega is not 1, and the embedding or the positions cannot take
            it without `untie`.
    """
    branches = [branch for branch, _ in admin_branches(residual_branches(model))]
    if not branches:
        raise InvalidSpecError(
            "model.scheme", "has no Admin stack, so that there is no omega to fold."
        )
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    omegas = [_foldable(tensor_name(branch), state.pop(tensor_name(branch))) for branch in branches]
    first_omegas = {
        branch.stack: omega
        for branch, omega in zip(branches, omegas, strict=True)
        if branch.index == 1 and (omega != 1).any()
    }
    folded_spec = _folded_spec(spec, bool(first_omegas) and untie)
    if first_omegas and untie:
        _untie(state, spec, model.logit_scale)
    for stack, omega in first_omegas.items():
        _scale_embedding(state, stack, omega, folded_spec)

    before: ResidualBranch | None = None
    for branch, omega in zip(branches, omegas, strict=True):
        if before is not None and branch.index > 1:
            for parameter in ("weight", "bias"):
                name = f"{before.path}.post_norm.{parameter}"
                if name in state:
                    state[name] = omega * state[name]
        for matrix in INPUT_MATRICES[branch.role]:
            name = f"{branch.path}.branch.{matrix}.weight"
            if name in state:
                state[name] = state[name] / omega
        before = branch

    return _filled(folded_spec, state, like=model), folded_spec


def _foldable(name: str, omega: Tensor) -> Tensor:
    wrong = (omega == 0) | ~torch.isfinite(omega)
    if wrong.any():
        feature = int(wrong.nonzero()[0])
        raise FoldingError(
            name,
            f"is {float(omega[feature])} at feature {feature}, which the branch reads and a folded "
            "shortcut could not carry; folding needs finite omegas other than 0.",
        )
    return omega


def _folded_spec(spec: TransformerSpec, untied: bool) -> TransformerSpec:
    def folded(stack: Stack) -> Scheme:
        scheme = spec.scheme_of(stack)
        return Scheme.POST_LN if scheme is Scheme.ADMIN else scheme

    if isinstance(spec.scheme, StackSchemes):
        scheme: Scheme | StackSchemes = StackSchemes(
            encoder=folded(Stack.ENCODER), decoder=folded(Stack.DECODER)
        )
    else:
        scheme = Scheme.POST_LN
    changes: dict[str, object] = {"scheme": scheme}
    if untied:
        changes["tied_embeddings"] = False
        if spec.positions is Positions.SINUSOIDAL:
            changes["positions"] = Positions.LEARNED
    return spec.model_copy(update=changes)


def _untie(state: State, spec: TransformerSpec, logit_scale: float) -> None:
    """Give every stack tables of its own, in place."""
    if spec.tied_embeddings:
        # The state dict lists the shared matrix once for each stack already.
        last = list(spec.layers)[-1]
        # Untied, logits are not scaled.
        state["output.weight"] = logit_scale * state[f"{last.value}.embedding.tokens.weight"]
    if spec.positions is Positions.SINUSOIDAL:
        device = next(iter(state.values())).device
        waves = sinusoidal_positions(spec.max_positions, spec.d_model, device=device).double()
        for stack in spec.layers:
            state[f"{stack}.embedding.positions.table.weight"] = waves


def _scale_embedding(state: State, stack: str, omega: Tensor, spec: TransformerSpec) -> None:
    """y_0 = omega_1 * x_0, in place."""
    remedy = (
        "Keep the first omega at 1 while training, or fold with `untie`, which gives each stack "
        "tables of its own."
    )
    tokens = f"{stack}.embedding.tokens.weight"
    if spec.tied_embeddings:
        raise TiedEmbeddingError(
            tokens,
            f"the {stack}'s first omega is not 1 and scales its embedding, which the logits "
            f"or the other stack read as well. {remedy}",
        )
    if spec.positions is Positions.SINUSOIDAL:
        raise TiedEmbeddingError(
            f"{stack}.embedding.positions",
            f"the {stack}'s first omega is not 1 and scales its positions, which are fixed "
            f"sinusoids. {remedy}",
        )
    state[tokens] = omega * state[tokens]
    positions = f"{stack}.embedding.positions.table.weight"
    if positions in state:
        state[positions] = omega * state[positions]


def _filled(spec: TransformerSpec, state: State, *, like: Transformer) -> Transformer:
    first = next(like.parameters())
    with torch.device("meta"):
        model = Transformer(spec)
    model.to(first.dtype).to_empty(device=first.device)
    model.load_state_dict(state)
    return model.train(like.training)
