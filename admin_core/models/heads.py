"""Which class of the Transformers library a config is built as, and what it is trained to say.

The library has a table for each kind of head: the class of every architecture that has one. A class
that the config itself names is taken where it stands in one of these tables; where it names a body
without a head, or none, the architecture's own first head in the order below is.
"""

from dataclasses import dataclass
from enum import StrEnum

import transformers
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto


class Task(StrEnum):
    """What a head is trained to say."""

    SPEECH_TO_TEXT = "speech_to_text"
    TEXT_TO_TEXT = "text_to_text"
    MASKED_TEXT = "masked_text"
    NEXT_TOKEN = "next_token"
    IMAGE_CLASS = "image_class"
    SPEECH_TOKENS = "speech_tokens"
    """By connectionist temporal classification."""
    AUDIO_CLASS = "audio_class"
    TEXT_CLASS = "text_class"
    TOKEN_CLASS = "token_class"
    SPAN = "span"
    """Where in the text an answer begins and ends."""
    IMAGE_AND_TEXT = "image_and_text"
    """Which image belongs to which text, by contrast."""
    NOTHING = "nothing"
    """A body without a head, or with one that this package has no data for."""


# In the order in which one is chosen for a config that names none.
_TABLES: dict[Task, tuple[str, ...]] = {
    Task.SPEECH_TO_TEXT: ("MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",),
    Task.TEXT_TO_TEXT: ("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",),
    Task.MASKED_TEXT: ("MODEL_FOR_MASKED_LM_MAPPING_NAMES",),
    Task.NEXT_TOKEN: (
        "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
        "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    ),
    Task.IMAGE_CLASS: ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",),
    Task.SPEECH_TOKENS: ("MODEL_FOR_CTC_MAPPING_NAMES",),
    Task.AUDIO_CLASS: ("MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",),
    Task.TEXT_CLASS: ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",),
    Task.TOKEN_CLASS: ("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",),
    Task.SPAN: ("MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",),
    Task.IMAGE_AND_TEXT: ("MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",),
    Task.NOTHING: ("MODEL_MAPPING_NAMES", "MODEL_FOR_PRETRAINING_MAPPING_NAMES"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A class of the library, and its task."""

    model_class: type[PreTrainedModel]
    task: Task


def choose_head(config: PreTrainedConfig) -> Head | None:
    """The head for `config`; None for an architecture that the library has no model of."""
    by_task = {task: _classes(config.model_type, tables) for task, tables in _TABLES.items()}
    tasks = list(by_task)
    if getattr(config, "is_decoder", False):
        # An encoder's architecture that is used as a decoder writes text from left to right.
        tasks.sort(key=lambda task: task is not Task.NEXT_TOKEN)
    for named in config.architectures or []:
        for task in tasks:
            if task is not Task.NOTHING and named in by_task[task]:
                return _head(named, task)
    for task in tasks:
        if by_task[task]:
            return _head(by_task[task][0], task)
    return None


def _classes(model_type: str, tables: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    for table in tables:
        found = getattr(modeling_auto, table).get(model_type, ())
        names += [found] if isinstance(found, str) else found
    return names


def _head(name: str, task: Task) -> Head:
    return Head(model_class=getattr(transformers, name), task=task)
