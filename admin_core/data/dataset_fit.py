"""Whether a model can be trained on a data set, by their figures alone. No torch is loaded here.

What an architecture of the Transformers library reads, only the library knows. Of such a model the
config tells a part before it is built, and `admin_core.data.huggingface` the rest.
"""

from admin_core.config_facts import stated_vocabulary
from admin_core.data.dataset_facts import DatasetFacts
from admin_core.data.span_lengths import text_length
from admin_core.errors import InvalidSpecError
from admin_core.spec import Architecture, DataSpec, HubData, Prose, Subject, TransformerSpec


def check_fit(spec: Subject, facts: DatasetFacts, *, held_out: bool) -> None:
    """Return if the spec's model can read the data set in sequences of the spec's length, as far as
    the spec tells.

    Args:
        held_out: whether the part for validation is read by itself, as in a race.

    Raises:
        InvalidSpecError: names the field to change.
    """
    check_kind(spec, facts.vocab_size, parallel=facts.parallel)
    model = spec.model
    # No architecture takes less text for a sequence than an encoder.
    architecture = (
        model.architecture if isinstance(model, TransformerSpec) else Architecture.ENCODER_ONLY
    )
    check_length(spec.data, architecture, spec.training.sequence_length, facts, held_out=held_out)


def check_hub_kind(spec: Subject, data: HubData) -> None:
    """The part of `check_fit` that needs no look at the data set.

    Raises:
        InvalidSpecError: names the field to change.
    """
    check_kind(spec, data.tokenizer.vocabulary, parallel=len(data.columns) == 2)


def check_kind(spec: Subject, vocab_size: int, *, parallel: bool) -> None:
    """Return if the model's vocabulary and stacks suit such data, as far as the spec tells.

    Raises:
        InvalidSpecError: names the field to change.
    """
    model = spec.model
    vocabulary: int | None
    if isinstance(model, TransformerSpec):
        field, vocabulary = "model.vocab_size", model.vocab_size
    else:
        field, vocabulary = "model.config.vocab_size", stated_vocabulary(model)
    if vocabulary is not None and vocabulary < vocab_size:
        raise InvalidSpecError(
            field,
            f"is {vocabulary:,}, below the {vocab_size:,} of the data set's tokenizer; "
            "give the model a vocabulary at least as large",
        )
    if not parallel:
        return
    if isinstance(model, TransformerSpec):
        _check_two_stacks(model)
    if isinstance(spec.data, Prose) and spec.data.objective == "denoising":
        raise InvalidSpecError(
            "data.objective",
            "is denoising, but the data set has targets of its own; leave this field out",
        )


def _check_two_stacks(model: TransformerSpec) -> None:
    if model.architecture is not Architecture.ENCODER_DECODER:
        raise InvalidSpecError(
            "model.architecture",
            f"is {model.architecture.value}, but a source and a target need an "
            "encoder_decoder; give the other architectures running text",
        )


def window_length(data: DataSpec, architecture: Architecture, sequence_length: int) -> int:
    """Tokens in a row that one sequence of running text takes."""
    if isinstance(data, Prose) and data.objective == "denoising":
        return text_length(sequence_length)
    return {
        Architecture.DECODER_ONLY: sequence_length + 1,
        Architecture.ENCODER_ONLY: sequence_length,
        Architecture.ENCODER_DECODER: 2 * sequence_length + 1,
    }[architecture]


def check_length(
    data: DataSpec,
    architecture: Architecture,
    sequence_length: int,
    facts: DatasetFacts,
    *,
    held_out: bool,
) -> None:
    """Return if the data set has sequences of this length.

    Args:
        data: how sequences are made of it.
        held_out: whether the part for validation is read by itself, as in a race.

    Raises:
        InvalidSpecError: it has none.
    """
    at_most = "" if facts.tokens_are_exact else " at most"
    if facts.parallel:
        source, target = facts.longest
        longest = max(source, target + 1)
        if sequence_length > longest:
            raise InvalidSpecError(
                "training.sequence_length",
                f"is {sequence_length:,}, but the data set's longest line has {longest:,} tokens "
                f"with its end{at_most}; shorten it to that",
            )
        return
    parts = {
        "part for validation": facts.held_out_tokens,
        "part to train on": facts.training_tokens,
    }
    if not held_out:
        parts = {"whole": sum(parts.values())}
    needed = window_length(data, architecture, sequence_length)
    for part, tokens in parts.items():
        if tokens < needed:
            raise InvalidSpecError(
                "training.sequence_length",
                f"is {sequence_length:,}, for which a sequence takes {needed:,} tokens in a row, "
                f"but the data set's {part} has {tokens:,}{at_most}; shorten it, or give more text",
            )
