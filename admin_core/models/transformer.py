"""The built-in Transformer: from a spec to stacks of sub-layers."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from admin_core.frames import FRAMES
from admin_core.models.attention import Attention
from admin_core.models.embedding import Embedding, LearnedPositions, SinusoidalPositions
from admin_core.models.feed_forward import FeedForward, GatedFeedForward
from admin_core.models.initialisation import embedding_scale, initialise, logit_scale
from admin_core.models.norm import make_norm
from admin_core.models.scaling import rescale
from admin_core.models.sublayer import (
    ConstantShortcutAddition,
    GatedAddition,
    ScaledShortcutAddition,
    ShortcutAddition,
    SubLayer,
)
from admin_core.report import Role
from admin_core.schemes import deepnorm_alpha
from admin_core.spec import Activation, Architecture, Positions, Scheme, Stack, TransformerSpec


def _addition(spec: TransformerSpec, stack: Stack) -> ShortcutAddition:
    match spec.scheme_of(stack):
        case Scheme.ADMIN:
            return ScaledShortcutAddition(spec.d_model)
        case Scheme.DEEPNORM:
            return ConstantShortcutAddition(
                deepnorm_alpha(stack, spec.encoder_layers or 0, spec.decoder_layers or 0)
            )
        case Scheme.REZERO:
            return GatedAddition()
        case _:
            return ShortcutAddition()


def _sublayer(spec: TransformerSpec, stack: Stack, role: Role) -> SubLayer:
    frame = FRAMES[spec.scheme_of(stack)]

    def norm(wanted: bool, width: int = spec.d_model) -> nn.Module | None:
        return make_norm(spec.norm, width) if wanted else None

    branch: nn.Module
    if role is not Role.FEED_FORWARD:
        is_self_attention = role is Role.SELF_ATTENTION
        branch = Attention(
            d_model=spec.d_model,
            num_heads=spec.num_heads,
            num_kv_heads=spec.num_kv_heads or spec.num_heads,
            dropout=spec.attention_dropout,
            causal=is_self_attention and stack is Stack.DECODER,
            rotary=is_self_attention and spec.positions is Positions.ROTARY,
            query_norm=norm(spec.qk_norm, spec.d_head),
            key_norm=norm(spec.qk_norm, spec.d_head),
            inner_norm=norm(frame.inner_norm),
        )
    elif spec.activation is Activation.SWIGLU:
        branch = GatedFeedForward(
            d_model=spec.d_model,
            d_ff=spec.feed_forward_width,
            dropout=spec.activation_dropout,
            inner_norm=norm(frame.inner_norm, spec.feed_forward_width),
        )
    else:
        branch = FeedForward(
            d_model=spec.d_model,
            d_ff=spec.feed_forward_width,
            activation=nn.ReLU() if spec.activation is Activation.RELU else nn.GELU(),
            dropout=spec.activation_dropout,
            inner_norm=norm(frame.inner_norm, spec.feed_forward_width),
        )
    return SubLayer(
        branch,
        role=role,
        add=_addition(spec, stack),
        dropout=spec.dropout,
        pre_norm=norm(frame.pre_norm),
        branch_norm=norm(frame.branch_norm),
        post_norm=norm(frame.post_norm),
    )


class Layer(nn.Module):
    """Self-attention, then cross-attention where there is a memory to attend to, then
    feed-forward; in a parallel layer the feed-forward branch reads what self-attention reads."""

    def __init__(self, spec: TransformerSpec, stack: Stack) -> None:
        super().__init__()
        self.parallel = spec.parallel
        self.self_attention = _sublayer(spec, stack, Role.SELF_ATTENTION)
        self.cross_attention = None
        if spec.sublayers_per_layer(stack) == 3:
            self.cross_attention = _sublayer(spec, stack, Role.CROSS_ATTENTION)
        self.feed_forward = _sublayer(spec, stack, Role.FEED_FORWARD)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        *,
        padding: Bool[Tensor, "batch seq"] | None,
        memory: Float[Tensor, "batch source d_model"] | None,
        memory_padding: Bool[Tensor, "batch source"] | None,
    ) -> Float[Tensor, "batch seq d_model"]:
        read = x if self.parallel else None
        x = self.self_attention(x, padding=padding)
        if self.cross_attention is not None:
            x = self.cross_attention(x, memory=memory, padding=memory_padding)
        return self.feed_forward(x, read=read)  # type: ignore[no-any-return]


class LayerStack(nn.Module):
    """An embedding, layers one after another, and the norm after the last where there is one."""

    def __init__(self, spec: TransformerSpec, stack: Stack, tokens: nn.Embedding) -> None:
        super().__init__()
        frame = FRAMES[spec.scheme_of(stack)]
        positions: nn.Module | None = None
        if spec.positions is Positions.SINUSOIDAL:
            positions = SinusoidalPositions()
        elif spec.positions is Positions.LEARNED:
            positions = LearnedPositions(spec.max_positions, spec.d_model)
        self.embedding = Embedding(
            tokens,
            scale=embedding_scale(spec),
            dropout=spec.dropout,
            positions=positions,
            norm=make_norm(spec.norm, spec.d_model) if frame.embedding_norm else None,
        )
        self.layers = nn.ModuleList(Layer(spec, stack) for _ in range(spec.layers[stack]))
        self.final_norm = make_norm(spec.norm, spec.d_model) if frame.final_norm else nn.Identity()

    def forward(
        self,
        tokens: Int[Tensor, "batch seq"],
        *,
        padding: Bool[Tensor, "batch seq"] | None = None,
        memory: Float[Tensor, "batch source d_model"] | None = None,
        memory_padding: Bool[Tensor, "batch source"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, padding=padding, memory=memory, memory_padding=memory_padding)
        return self.final_norm(x)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """An encoder, a decoder, or both.

    Tied, one token embedding serves every stack and is the output projection; untied, each has
    its own. `padding` in every call is True at positions that hold no token.
    """

    def __init__(self, spec: TransformerSpec) -> None:
        super().__init__()

        def embedding() -> nn.Embedding:
            return nn.Embedding(spec.vocab_size, spec.d_model)

        shared = embedding() if spec.tied_embeddings else None
        self.encoder = self.decoder = None
        if spec.architecture is not Architecture.DECODER_ONLY:
            self.encoder = LayerStack(spec, Stack.ENCODER, shared or embedding())
        if spec.architecture is not Architecture.ENCODER_ONLY:
            self.decoder = LayerStack(spec, Stack.DECODER, shared or embedding())
        self.logit_scale = logit_scale(spec)
        self.output = None
        if shared is None:
            self.output = nn.Linear(spec.d_model, spec.vocab_size, bias=False)

    @property
    def output_weight(self) -> Float[Tensor, "vocabulary d_model"]:
        """The projection from the last stack's states to logits."""
        if self.output is not None:
            return self.output.weight
        stack = self.encoder if self.decoder is None else self.decoder
        return stack.embedding.tokens.weight  # type: ignore[union-attr]

    def encode(
        self,
        source: Int[Tensor, "batch source"] | None,
        *,
        source_padding: Bool[Tensor, "batch source"] | None = None,
    ) -> Float[Tensor, "batch source d_model"] | None:
        """The encoder's output; nothing in a decoder-only model."""
        return None if self.encoder is None else self.encoder(source, padding=source_padding)

    def decode(
        self,
        target: Int[Tensor, "batch target"] | None,
        memory: Float[Tensor, "batch source d_model"] | None,
        *,
        source_padding: Bool[Tensor, "batch source"] | None = None,
        target_padding: Bool[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The decoder's output, attending to `memory` where the model cross-attends; in an
        encoder-only model, `memory` itself."""
        if self.decoder is None:
            assert memory is not None, "a model has an encoder, a decoder, or both"
            return memory
        return self.decoder(  # type: ignore[no-any-return]
            target, padding=target_padding, memory=memory, memory_padding=source_padding
        )

    def states(
        self,
        *,
        source: Int[Tensor, "batch source"] | None = None,
        target: Int[Tensor, "batch target"] | None = None,
        source_padding: Bool[Tensor, "batch source"] | None = None,
        target_padding: Bool[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The last stack's output, before the projection to logits."""
        memory = self.encode(source, source_padding=source_padding)
        return self.decode(
            target, memory, source_padding=source_padding, target_padding=target_padding
        )

    def forward(
        self,
        *,
        source: Int[Tensor, "batch source"] | None = None,
        target: Int[Tensor, "batch target"] | None = None,
        source_padding: Bool[Tensor, "batch source"] | None = None,
        target_padding: Bool[Tensor, "batch target"] | None = None,
    ) -> Float[Tensor, "batch seq vocabulary"]:
        """Logits of the last stack's positions."""
        states = self.states(
            source=source,
            target=target,
            source_padding=source_padding,
            target_padding=target_padding,
        )
        return self.logit_scale * F.linear(states, self.output_weight)


def build_transformer(
    spec: TransformerSpec, *, seed: int, device: torch.device | None = None
) -> Transformer:
    """A Transformer with fresh weights; the seed decides them, whatever the device."""
    with torch.device("meta"):
        model = Transformer(spec)
    model.to_empty(device=device or torch.device("cpu"))
    initialise(model, spec, seed=seed)
    rescale(model, spec)
    return model
