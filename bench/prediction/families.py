"""The families that configurations are drawn from, and which of them are kept for the test.

A family is one way to build a model: an architecture with a scheme, or with another thing that sets
it apart. Whole families are held out, so that the test asks about models of a kind that the
calibration has not seen. The split was fixed before any of the runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["calibration", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What all configurations of one family share; the rest is drawn."""

    split: Split
    architecture: str = "decoder_only"
    schemes: tuple[Any, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    optimizers: tuple[str, ...] = ("adam", "adam", "adam", "adamw", "radam", "schedule_free")
    data: Mapping[str, Any] = field(default_factory=lambda: {"kind": "text"})


SORT = {"kind": "synthetic", "name": "sort"}
DENOISING = {"kind": "text", "objective": "denoising"}
HYBRIDS = (
    {"encoder": "post_ln", "decoder": "pre_ln"},
    {"encoder": "pre_ln", "decoder": "post_ln"},
    {"encoder": "admin", "decoder": "pre_ln"},
)
LLAMA = {
    "norm": "rms_norm",
    "activation": "swiglu",
    "positions": "rotary",
    "tied_embeddings": False,
}

CALIBRATION: Split = "calibration"
TEST: Split = "test"

FAMILIES: dict[str, Family] = {
    # decoder-only language models, the paper's initialisation
    "decoder/post_ln": Family(split=CALIBRATION, schemes=("post_ln",)),
    "decoder/pre_ln": Family(split=CALIBRATION, schemes=("pre_ln",)),
    "decoder/admin": Family(split=TEST, schemes=("admin",)),
    "decoder/deepnorm": Family(split=CALIBRATION, schemes=("deepnorm",)),
    "decoder/sub_ln": Family(split=CALIBRATION, schemes=("sub_ln",)),
    "decoder/rezero": Family(split=CALIBRATION, schemes=("rezero",)),
    "decoder/t_fixup": Family(split=TEST, schemes=("t_fixup",)),
    "decoder/sandwich": Family(split=TEST, schemes=("sandwich_ln", "peri_ln")),
    # the same with what later models changed
    "decoder/llama": Family(split=TEST, schemes=("pre_ln",), model=LLAMA),
    "decoder/llama_post": Family(split=CALIBRATION, schemes=("post_ln", "admin"), model=LLAMA),
    "decoder/gpt2_init": Family(
        split=CALIBRATION,
        schemes=("pre_ln", "post_ln"),
        model={"initialisation": "gpt2", "activation": "gelu", "positions": "learned"},
    ),
    "decoder/t5_init": Family(
        split=TEST, schemes=("pre_ln", "post_ln"), model={"initialisation": "t5"}
    ),
    "decoder/parallel": Family(
        split=CALIBRATION, schemes=("pre_ln", "peri_ln"), model={"parallel": True}
    ),
    "decoder/qk_norm": Family(
        split=CALIBRATION, schemes=("pre_ln", "post_ln", "admin"), model={"qk_norm": True}
    ),
    "decoder/sgd": Family(
        split=CALIBRATION, schemes=("pre_ln", "post_ln", "admin"), optimizers=("sgd",)
    ),
    "decoder/sgd_others": Family(
        split=TEST, schemes=("deepnorm", "sandwich_ln", "rezero"), optimizers=("sgd",)
    ),
    # encoder-decoders, the paper's own
    "seq2seq/post_ln": Family(split=TEST, architecture="encoder_decoder", schemes=("post_ln",)),
    "seq2seq/pre_ln": Family(
        split=CALIBRATION, architecture="encoder_decoder", schemes=("pre_ln",)
    ),
    "seq2seq/admin": Family(split=CALIBRATION, architecture="encoder_decoder", schemes=("admin",)),
    "seq2seq/hybrid": Family(split=TEST, architecture="encoder_decoder", schemes=HYBRIDS),
    "seq2seq/others": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("deepnorm", "sub_ln", "t_fixup", "rezero"),
    ),
    "seq2seq/denoising": Family(
        split=CALIBRATION,
        architecture="encoder_decoder",
        schemes=("post_ln", "pre_ln", "admin"),
        data=DENOISING,
    ),
    # encoders, which read whole sequences
    "encoder/post_ln": Family(
        split=CALIBRATION, architecture="encoder_only", schemes=("post_ln",), data=SORT
    ),
    "encoder/pre_ln": Family(
        split=TEST, architecture="encoder_only", schemes=("pre_ln", "sub_ln"), data=SORT
    ),
    "encoder/admin": Family(
        split=CALIBRATION, architecture="encoder_only", schemes=("admin", "deepnorm"), data=SORT
    ),
    "encoder/masked": Family(
        split=CALIBRATION,
        architecture="encoder_only",
        schemes=("post_ln", "pre_ln", "admin"),
        model={"positions": "rotary"},
    ),
}
