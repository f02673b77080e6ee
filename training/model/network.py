"""The frozen UNet with what is trained in its attention layers."""

from collections.abc import Callable
from dataclasses import dataclass

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from uniportrait_core.attention.trained_attention import attend, attend_to_people, with_lora
from uniportrait_core.embedding.resampler import FaceIDResampler
from uniportrait_core.routing.soft_router import gumbel, router_logits, soft_choice, straight_through, with_strangers

from .adapter import Adapter, LayerWeights
from .layout import attention_layers
from .picture_tokens import PictureTokens

Noise = Callable[[int, int, int], Tensor]
"""Uniform noise, 0..1, for a layer's number, people and spots: (pictures, people, spots)."""


@dataclass(frozen=True)
class FaceInputs:
    """The people of some pictures, as the network that makes ID tokens reads them.

    Attributes:
        present: which people a picture has, (pictures, people), bool; the others are padding.
        intrinsic: features, (pictures, people, n, dim).
        structure: features, (pictures, people, m, dim).
        scale: weight of the structure branch, (pictures, people).
        kept: which structure features are not dropped, 0 or 1, (pictures, people, m).
        image: in place of all features, CLIP's image embedding for an IP-Adapter, (pictures, people, projection).
    """

    present: Tensor
    intrinsic: Tensor | None = None
    structure: Tensor | None = None
    scale: Tensor | None = None
    kept: Tensor | None = None
    image: Tensor | None = None


def id_tokens(resampler: FaceIDResampler, faces: FaceInputs) -> Tensor:
    """What a resampler makes of people, (pictures, people, tokens, dim)."""
    intrinsic, structure = (t.flatten(0, 1) for t in (faces.intrinsic, faces.structure))
    features = resampler.project(intrinsic, structure)
    scale = faces.scale.flatten()[:, None, None]
    return resampler([features], scale, [faces.kept.flatten(0, 1)]).unflatten(0, faces.present.shape)


@dataclass(frozen=True)
class Routing:
    """How people are added: which spots are given to whom, and how strongly.

    Attributes:
        choice: of `config.Router`.
        temperature: τ.
        noise: what Gumbel noise is made of; None for none.
        id_scale: strength of ID attention; 1 in training.
        owners: of a number of spots, whose they are, (pictures, people, spots); in place of the router's choice.
    """

    choice: str
    temperature: float = 1.0
    noise: Noise | None = None
    id_scale: float = 1.0
    owners: Callable[[int], Tensor] | None = None


class Network(nn.Module):
    """UNet, adapter, and what makes ID tokens of faces."""

    def __init__(self, unet: UNet2DConditionModel, adapter: Adapter, tokens: FaceIDResampler | PictureTokens):
        """
        Args:
            unet: frozen; its attention processors are replaced.
            adapter: for its layers.
            tokens: the resampler, or a plain IP-Adapter's projection.
        """
        super().__init__()
        self.unet, self.adapter, self.resampler = unet, adapter, tokens
        self._tokens: Tensor | None = None
        self._present: Tensor | None = None
        self._candidates: tuple[Tensor, Tensor] | None = None  # tokens of whom routers choose from, and who is present
        self._routing = Routing("none")
        self._logits: dict[int, Tensor] = {}
        layers = attention_layers(unet)
        unet.set_attn_processor(
            {
                layer.name: _Processor(self, number, weights)
                for number, (layer, weights) in enumerate(zip(layers, adapter.layers(), strict=True))
            }
        )

    def forward(
        self,
        noised: Tensor,
        timesteps: Tensor,
        text: Tensor,
        added: dict[str, Tensor] | None,
        faces: FaceInputs,
        routing: Routing,
    ) -> tuple[Tensor, list[Tensor]]:
        """Predict the noise, or what else the base model was trained to predict.

        Args:
            noised: latents, (pictures, channels, height, width).
            timesteps: (pictures,).
            text: (pictures, 77, dim).
            added: SDXL's further conditions, as diffusers names them.
            faces: the people.
            routing: how spots are given to them.

        Returns:
            The prediction, of the latents' shape, and the router's logits of every cross-attention layer, in order,
            (pictures, people, spots), with owners (pictures, pictures · people, spots), as everybody is a candidate
            then (`soft_router.with_strangers`); none where nothing is routed.
        """
        return self.predict(noised, timesteps, text, added, self.tokens(faces), faces.present, routing)

    def predict(
        self,
        noised: Tensor,
        timesteps: Tensor,
        text: Tensor,
        added: dict[str, Tensor] | None,
        tokens: Tensor,
        present: Tensor,
        routing: Routing,
    ) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, of ID tokens that were made already, (pictures, people, tokens, dim)."""
        self._tokens, self._present, self._routing, self._logits = tokens, present, routing, {}
        taught = routing.owners is not None
        self._candidates = with_strangers(tokens.detach(), present) if taught else (tokens, present)
        predicted = self.unet(noised, timesteps, encoder_hidden_states=text, added_cond_kwargs=added).sample
        return predicted, [self._logits[number] for number in sorted(self._logits)]

    @property
    def people(self) -> Tensor:
        """ID tokens of everybody who was present in the last call, (all pictures' people, tokens, dim)."""
        return self._tokens[self._present]

    def tokens(self, faces: FaceInputs) -> Tensor:
        """ID tokens, (pictures, people, tokens, dim)."""
        return self.resampler(faces.image) if faces.image is not None else id_tokens(self.resampler, faces)

    def add_people(self, number: int, weights: LayerWeights, x: Tensor, query: Tensor, heads: int) -> Tensor:
        """ID attention of a cross-attention layer, for its processor."""
        tokens, present, routing, router = self._tokens, self._present, self._routing, weights.router()
        taught = routing.owners is not None
        if router is not None and routing.choice != "none":
            logits = router_logits(router, x.detach() if taught else x, *self._candidates)
            self._logits.setdefault(number, logits)  # a layer that is computed again for its gradient is told of once
        if taught:
            shares = routing.owners(x.shape[1]).to(query)
        elif router is None or routing.choice == "none":
            shares = present[..., None].to(query)
        else:
            noise = None if routing.noise is None else gumbel(routing.noise(number, *logits.shape[1:])).to(logits)
            shares = soft_choice(logits, noise, routing.temperature)
            if routing.choice == "straight-through":
                shares = straight_through(shares)
        return routing.id_scale * attend_to_people(query, weights.id_layer(), tokens, shares, heads)


class _Processor:
    """The attention of one layer. No module, so that the UNet's weights stay the base model's."""

    def __init__(self, network: Network, number: int, weights: LayerWeights):
        # In a list neither is taken for a part of the UNet, in which diffusers looks for modules.
        self.network, self.number, self.weights = [network], number, [weights]

    def __call__(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        (network,), (weights,) = self.network, self.weights
        x, context = hidden_states, hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def project(name: str, linear: nn.Module, given: Tensor) -> Tensor:
            pair, projected = weights.lora(name), linear(given)
            return projected if pair is None else with_lora(given, projected, pair)

        query = project("q", attention.to_q, x)
        key, value = project("k", attention.to_k, context), project("v", attention.to_v, context)
        hidden = attend(query, key, value, attention.heads)
        if encoder_hidden_states is not None:
            hidden = hidden + network.add_people(self.number, weights, x, query, attention.heads)
        return project("out", attention.to_out[0], hidden)
