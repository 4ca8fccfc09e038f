"""Whether a model can be trained on a data set, by their figures alone. No torch is loaded here."""

from admin_core.data.dataset_facts import DatasetFacts
from admin_core.data.span_lengths import text_length
from admin_core.errors import InvalidSpecError
from admin_core.spec import Architecture, HubData, Prose, Subject


def check_fit(spec: Subject, facts: DatasetFacts, *, held_out: bool) -> None:
    """Return if the spec's model can read the data set in sequences of the spec's length.

    Args:
        held_out: whether the part for validation is read by itself, as in a race.

    Raises:
        InvalidSpecError: names the field to change.
    """
    check_kind(spec, facts.vocab_size, parallel=facts.parallel)
    if facts.parallel:
        _check_line_length(spec, facts)
    else:
        _check_text_length(spec, facts, held_out=held_out)


def check_hub_kind(spec: Subject, data: HubData) -> None:
    """The part of `check_fit` that needs no look at the data set.

    Raises:
        InvalidSpecError: names the field to change.
    """
    check_kind(spec, data.tokenizer.vocabulary, parallel=len(data.columns) == 2)


def check_kind(spec: Subject, vocab_size: int, *, parallel: bool) -> None:
    """Return if the model's vocabulary and stacks suit such data.

    Raises:
        InvalidSpecError: names the field to change.
    """
    if spec.model.vocab_size < vocab_size:
        raise InvalidSpecError(
            "model.vocab_size",
            f"is {spec.model.vocab_size:,}, below the {vocab_size:,} of the data set's tokenizer; "
            "give the model a vocabulary at least as large",
        )
    if not parallel:
        return
    if spec.model.architecture is not Architecture.ENCODER_DECODER:
        raise InvalidSpecError(
            "model.architecture",
            f"is {spec.model.architecture.value}, but a source and a target need an "
            "encoder_decoder; give the other architectures running text",
        )
    if isinstance(spec.data, Prose) and spec.data.objective == "denoising":
        raise InvalidSpecError(
            "data.objective",
            "is denoising, but the data set has targets of its own; leave this field out",
        )


def window_length(spec: Subject) -> int:
    """Tokens in a row that one sequence of running text takes."""
    length = spec.training.sequence_length
    if isinstance(spec.data, Prose) and spec.data.objective == "denoising":
        return text_length(length)
    return {
        Architecture.DECODER_ONLY: length + 1,
        Architecture.ENCODER_ONLY: length,
        Architecture.ENCODER_DECODER: 2 * length + 1,
    }[spec.model.architecture]


def _check_text_length(spec: Subject, facts: DatasetFacts, *, held_out: bool) -> None:
    parts = {
        "part for validation": facts.held_out_tokens,
        "part to train on": facts.training_tokens,
    }
    if not held_out:
        parts = {"whole": sum(parts.values())}
    needed = window_length(spec)
    for part, tokens in parts.items():
        if tokens < needed:
            raise InvalidSpecError(
                "training.sequence_length",
                f"is {spec.training.sequence_length:,}, for which a sequence takes {needed:,} "
                f"tokens in a row, but the data set's {part} has {tokens:,}"
                f"{'' if facts.tokens_are_exact else ' at most'}; shorten it, or give more text",
            )


def _check_line_length(spec: Subject, facts: DatasetFacts) -> None:
    source, target = facts.longest
    longest = max(source, target + 1)
    if spec.training.sequence_length > longest:
        raise InvalidSpecError(
            "training.sequence_length",
            f"is {spec.training.sequence_length:,}, but the data set's longest line has "
            f"{longest:,} tokens with its end{'' if facts.tokens_are_exact else ' at most'}; "
            "shorten it to that",
        )
