"""From a Transformers config to a network with fresh weights, without network access.

The library reads the config, so that what it means is what it means there; what is wrong with it
comes back with the field's name. Weights are float32, drawn by the architecture's own
initialisation. The library's other ways to get a model, by name or from code in a repository, are
never used.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is loaded, and never again

import torch
from torch import nn
from torch.nn.modules import module as registration
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import logging

from admin_core.config_facts import check_model_type
from admin_core.errors import InvalidSpecError
from admin_core.models.config_refusals import field_at_fault, without_values
from admin_core.models.heads import Head, choose_head
from admin_core.seeds import derived_seed
from admin_core.size import Limits, check_parameters
from admin_core.spec import HuggingFaceSpec

MAX_MODULES = 200_000
"""Modules of a network; far more than any that trains, and few enough to count in seconds."""

_OF_A_CHECKPOINT = frozenset(
    {
        # How trained weights are stored and run; fresh ones are float32.
        *("dtype", "torch_dtype", "quantization_config", "compression_config"),
        *("attn_implementation", "_attn_implementation", "_experts_implementation"),
        # What a forward pass returns; this package asks for what it needs.
        *("return_dict", "use_return_dict", "torchscript", "output_attentions"),
        *("output_hidden_states", "output_router_logits", "gradient_checkpointing"),
        *("auto_map", "trust_remote_code", "custom_pipelines", "_name_or_path", "use_cache"),
        "transformers_version",
    }
)
"""Fields of a config.json that say nothing of the architecture."""

_SWITCHED_OFF = {
    "use_cache": False,
    # What is left out by chance is not measured; SpecAugment's masks have no seed either.
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "apply_spec_augment": False,
}
"""What a config may ask for in training, and does not get."""

logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def read_config(model: HuggingFaceSpec) -> PreTrainedConfig:
    """What the library makes of the config.

    Raises:
        InvalidSpecError: it refuses it; names the field.
    """
    check_model_type(model)
    with _refusals_named(model):
        fields = {k: v for k, v in _architecture(model.config).items() if k != "model_type"}
        config: PreTrainedConfig = CONFIG_MAPPING[model.model_type].from_dict(fields)
    for part in (config, *_parts(config)):
        for name, value in _SWITCHED_OFF.items():
            if getattr(part, name, None):
                setattr(part, name, value)
    return config


def head_of(config: PreTrainedConfig) -> Head:
    """The class that the config is built as.

    Raises:
        InvalidSpecError: the library has no model of this architecture, but only a part of one.
    """
    head = choose_head(config)
    if head is None:
        raise InvalidSpecError(
            "model.config.model_type",
            "is a part of other architectures, of which the library builds no model by itself; "
            "give the config of the whole model",
        )
    return head


def sketch(model: HuggingFaceSpec, *, limits: Limits | None = None) -> PreTrainedModel:
    """The model on the meta device: all shapes, no memory.

    Raises:
        InvalidSpecError: the library cannot build it; names the field.
        LimitExceededError: it has more parameters than allowed.
    """
    config = read_config(model)
    with _refusals_named(model), _bounded(), torch.device("meta"):
        built = _construct(config)
    if limits is not None:
        check_parameters(count_parameters(built), limits)
    return built


def build_huggingface(
    model: HuggingFaceSpec,
    *,
    seed: int,
    device: torch.device | None = None,
    limits: Limits | None = None,
) -> PreTrainedModel:
    """The model with fresh weights; the seed decides them, whatever the device.

    Raises:
        as `sketch` does.
    """
    sketch(model, limits=limits)
    with torch.random.fork_rng(devices=[]), _refusals_named(model):
        # On the CPU, where a seed means the same numbers whatever the device.
        torch.manual_seed(derived_seed(seed, "weights"))
        built = _construct(read_config(model))
    built.to(device or torch.device("cpu"))  # type: ignore[arg-type]
    return built


def count_parameters(model: nn.Module) -> int:
    """Weights of a built model, tied ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _construct(config: PreTrainedConfig) -> PreTrainedModel:
    chosen = head_of(config).model_class
    model: PreTrainedModel = chosen._from_config(  # type: ignore[no-untyped-call]
        config, dtype=torch.float32
    )
    return model


def _architecture(config: Any) -> Any:
    """The config without what belongs to a checkpoint, infinities in the library's own words."""
    if isinstance(config, Mapping):
        if config.keys() == {"__float__"}:
            return float(config["__float__"])
        return {
            name: _architecture(value)
            for name, value in config.items()
            if name not in _OF_A_CHECKPOINT
        }
    return [_architecture(value) for value in config] if isinstance(config, list) else config


def _parts(config: PreTrainedConfig) -> list[PreTrainedConfig]:
    """The configs inside a config, as of a text and an image model."""
    found = [part for part in vars(config).values() if isinstance(part, PreTrainedConfig)]
    return [*found, *(inner for part in found for inner in _parts(part))]


@contextmanager
def _bounded() -> Iterator[None]:
    """Within the block, a model that grows out of all bounds is given up while it is built."""
    built = 0

    def count(_: nn.Module, __: str, ___: Any) -> None:
        nonlocal built
        built += 1
        if built > MAX_MODULES:
            raise InvalidSpecError(
                "model.config", f"builds more than {MAX_MODULES:,} modules; give it fewer layers"
            )

    handle = registration.register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _refusals_named(model: HuggingFaceSpec) -> Iterator[None]:
    """Within the block, whatever the library raises is the config's fault, at the field that the
    message speaks of."""
    try:
        yield
    except (InvalidSpecError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        field = ".".join(("model.config", *field_at_fault(model.config, error)))
        raise InvalidSpecError(
            field, f"the Transformers library refuses it: {without_values(model.config, error)}"
        ) from error
