"""What other initialisation schemes would set in the same model, beside the omegas measured."""

from admin_core.report import Comparators, DeepNormScales, TFixupScales
from admin_core.schemes import (
    REZERO_GATE,
    closed_form_omega,
    deepnorm_alpha,
    deepnorm_beta,
    sub_ln_gain,
    t_fixup_embedding_scale,
    t_fixup_scale,
)
from admin_core.size import num_sublayers
from admin_core.spec import OutputChangeScale, Stack, TransformerSpec


def comparators(model: TransformerSpec) -> dict[Stack, Comparators]:
    """Every scheme's constants for each stack of `model`, whatever its own scheme is."""
    return {
        stack: comparators_of_stack(stack, n, model.encoder_layers, model.decoder_layers)
        for stack, n in num_sublayers(model).items()
    }


def comparators_of_stack(
    stack: Stack, num_sublayers: int, encoder_layers: int | None, decoder_layers: int | None
) -> Comparators:
    """Every scheme's constants for one stack of a model with these layers."""
    counts = encoder_layers, decoder_layers
    return Comparators(
        num_sublayers=num_sublayers,
        closed_form={scale: closed_form_omega(num_sublayers, scale) for scale in OutputChangeScale},
        deepnorm=DeepNormScales(
            alpha=deepnorm_alpha(stack, *counts), beta=deepnorm_beta(stack, *counts)
        ),
        sub_ln_gain=sub_ln_gain(stack, *counts),
        t_fixup=TFixupScales(
            weights=t_fixup_scale(stack, *counts),
            embedding=t_fixup_embedding_scale(stack, *counts),
        ),
        rezero_gate=REZERO_GATE,
    )
