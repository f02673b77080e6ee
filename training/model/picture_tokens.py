"""A plain IP-Adapter's tokens in the place of faces' (IP-Adapter with router, Table 2 of the paper)."""

from torch import Tensor, nn

from uniportrait_core.style.ip_adapter import IPAdapter


class PictureTokens(nn.Module):
    """The projection of a plain IP-Adapter, frozen."""

    def __init__(self, adapter: IPAdapter):
        super().__init__()
        self.token_shape = adapter.token_shape  # tokens of a picture, and their width
        names = ("weight", "bias", "norm_weight", "norm_bias")
        for name, tensor in zip(names, (*adapter.project, *adapter.norm), strict=True):
            self.register_buffer(name, tensor)

    def forward(self, image: Tensor) -> Tensor:
        """Tokens, (pictures, people, tokens, dim), of image embeddings, (pictures, people, projection)."""
        return IPAdapter((self.weight, self.bias), (self.norm_weight, self.norm_bias), ()).tokens(image)
