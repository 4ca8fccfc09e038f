"""How long the parts are that span corruption makes of a text. No torch is loaded here."""

SENTINELS = (*range(1, 9), *range(14, 32))
"""The control bytes but 0, which marks beginnings, and white space."""

CUT_SHARE = 0.15
MEAN_SPAN = 3


def cut_tokens_and_spans(length: int) -> tuple[int, int]:
    """How many tokens of a text of `length` are cut, and in how many spans."""
    cut = max(1, round(CUT_SHARE * length))
    kept = length - cut
    return cut, max(1, min(round(cut / MEAN_SPAN), kept, len(SENTINELS) - 1))


def source_length(length: int) -> int:
    """Tokens of what is left of a text of `length`, sentinels included."""
    cut, spans = cut_tokens_and_spans(length)
    return length - cut + spans


def text_length(source: int) -> int:
    """The shortest text of which at least `source` tokens are left; that is, 2 or more."""
    length = source
    while source_length(length) < source:
        length += 1
    return length
