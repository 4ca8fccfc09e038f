"""The scales that each initialisation scheme gives a model of N encoder and M decoder layers.

Everything follows from the counts; nothing is measured and no torch is loaded.

    N, M   layers of the encoder and of the decoder; None or 0 where the model has no such stack
    n      sub-layers of one stack: 2 per layer, 3 in a decoder with cross-attention

Sources: DeepNorm, Wang et al. 2022, arXiv:2203.00555. Sub-LN (Magneto), Wang et al. 2022,
arXiv:2210.06423. T-Fixup, Huang et al., ICML 2020. Closed forms: the `admin-torch` package.
"""

import math

from admin_core.spec import OutputChangeScale, Stack

REZERO_GATE = 0.0
"""ReZero's scale on each branch before training: x_i = x_{i-1} + 0 * f_i(x_{i-1})."""


def closed_form_omega(num_sublayers: int, scale: OutputChangeScale) -> float:
    """One omega for all n sub-layers of a stack, so that the output change grows as `scale` says.

        O(log n)   omega^2 = (n + 1) / ln(n + 1) - 1
        O(1)       omega^2 = n
        O(n)       omega   = 1, which is Post-LN

    With equal omegas beta_ii^2 = 1 / (1 + omega^2), and the output change follows n * beta_ii^2.

    Raises:
        ValueError: n is below 1.
    """
    if num_sublayers < 1:
        raise ValueError(f"A stack has at least one sub-layer, not {num_sublayers}.")
    if scale is OutputChangeScale.LOGARITHMIC:
        return math.sqrt((num_sublayers + 1) / math.log(num_sublayers + 1) - 1)
    return math.sqrt(num_sublayers) if scale is OutputChangeScale.CONSTANT else 1.0


def deepnorm_alpha(stack: Stack, encoder_layers: int | None, decoder_layers: int | None) -> float:
    """DeepNorm's scale on the shortcut, x_i = LN(alpha x_{i-1} + f_i(x_{i-1})).

    one stack         (2N)^(1/4), or (2M)^(1/4)
    encoder-decoder   encoder 0.81 (N^4 M)^(1/16), decoder (3M)^(1/4)
    """
    n, m = encoder_layers, decoder_layers
    if not n or not m:
        return math.pow(2 * _only(n, m), 1 / 4)
    if stack is Stack.ENCODER:
        return 0.81 * math.pow(n**4 * m, 1 / 16)
    return math.pow(3 * m, 1 / 4)


def deepnorm_beta(stack: Stack, encoder_layers: int | None, decoder_layers: int | None) -> float:
    """DeepNorm's gain on the Xavier initialisation of the value, output and feed-forward weights;
    query and key keep gain 1.

        one stack         (8N)^(-1/4), or (8M)^(-1/4)
        encoder-decoder   encoder 0.87 (N^4 M)^(-1/16), decoder (12M)^(-1/4)
    """
    n, m = encoder_layers, decoder_layers
    if not n or not m:
        return math.pow(8 * _only(n, m), -1 / 4)
    if stack is Stack.ENCODER:
        return 0.87 * math.pow(n**4 * m, -1 / 16)
    return math.pow(12 * m, -1 / 4)


def sub_ln_gain(stack: Stack, encoder_layers: int | None, decoder_layers: int | None) -> float:
    """Sub-LN's gain on the value, output and feed-forward weights, cross-attention's excepted.

    one stack         sqrt(ln 2N), or sqrt(ln 2M)
    encoder-decoder   encoder sqrt(ln 3M * ln 2N / 3), decoder sqrt(ln 3M)
    """
    n, m = encoder_layers, decoder_layers
    if not n or not m:
        return math.sqrt(math.log(2 * _only(n, m)))
    if stack is Stack.ENCODER:
        return math.sqrt(math.log(3 * m) * math.log(2 * n) / 3)
    return math.sqrt(math.log(3 * m))


def t_fixup_scale(stack: Stack, encoder_layers: int | None, decoder_layers: int | None) -> float:
    """T-Fixup's factor on the Xavier-initialised (gain 1) value, output and feed-forward weights.

        encoder   0.67 N^(-1/4)
        decoder   (9M)^(-1/4)

    The released code multiplies the value weights by another sqrt(2), which undoes the gain
    1/sqrt(2) of their fused initialisation. A decoder-only model, of which T-Fixup does not speak,
    has an encoder's two branches a layer and takes its formula.
    """
    n, m = encoder_layers, decoder_layers
    if not n or not m:
        return 0.67 * math.pow(_only(n, m), -1 / 4)
    return 0.67 * math.pow(n, -1 / 4) if stack is Stack.ENCODER else math.pow(9 * m, -1 / 4)


def t_fixup_embedding_scale(
    stack: Stack, encoder_layers: int | None, decoder_layers: int | None
) -> float:
    """T-Fixup's factor on the stack's embedding, initialised N(0, 1/d_model); an embedding that
    both stacks share takes the encoder's.

    encoder (9N)^(-1/4), decoder (9M)^(-1/4)
    """
    n, m = encoder_layers, decoder_layers
    if not n or not m:
        return math.pow(9 * _only(n, m), -1 / 4)
    return math.pow(9 * (n if stack is Stack.ENCODER else m), -1 / 4)


def _only(encoder_layers: int | None, decoder_layers: int | None) -> int:
    layers = encoder_layers or decoder_layers
    if not layers:
        raise ValueError("A model has an encoder, a decoder, or both; give its layers.")
    return layers
