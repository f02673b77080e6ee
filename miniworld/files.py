"""Where the world's files lie, in the folder that training writes to and in the one that ships."""

from dataclasses import dataclass
from pathlib import Path

WEIGHTS = "diffusion_pytorch_model.safetensors"  # as diffusers calls them
SHIPPED = Path(__file__).parent / "weights"
# Folders in a training's output:
ALBUMS = {"single": "one", "multi": "several"}  # of the photos that a stage is trained on
ABLATIONS = "ablations"  # of stages that lack something


@dataclass(frozen=True)
class Files:
    """
    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def base(self) -> Path:
        """The base model in the layout of diffusers: unet, vae, text_encoder, tokenizer, scheduler."""
        return self.root / "base"

    @property
    def vae(self) -> Path:
        return self.base / "vae" / WEIGHTS

    @property
    def unet(self) -> Path:
        return self.base / "unet" / WEIGHTS

    @property
    def moments(self) -> Path:
        """What the autoencoder makes of all pictures of a training."""
        return self.root / "state" / "moments.safetensors"

    @property
    def clip_vision(self) -> Path:
        return self.root / "clip_vision"

    @property
    def backbone(self) -> Path:
        return self._of_pack("face_backbone")

    @property
    def faceid(self) -> Path:
        return self._of_pack("faceid")

    @property
    def router(self) -> Path:
        return self._of_pack("router")

    @property
    def measure(self) -> Path:
        return self.root / "measuring_recogniser.safetensors"

    @property
    def detector(self) -> Path:
        return self.root / "face_detector.safetensors"

    @property
    def classifiers(self) -> Path:
        return self.root / "classifiers.safetensors"

    @property
    def sketch(self) -> Path:
        """A LoRA."""
        return self.root / "sketch_lora.safetensors"

    @property
    def tokenizer(self) -> Path:
        return self.base / "tokenizer"

    def _of_pack(self, part: str) -> Path:
        """What Load UniPortrait lists."""
        return self.root / "uniportrait" / f"mini-world-{part}.safetensors"

    def state(self, name: str) -> Path:
        """A training that is under way."""
        return self.root / "state" / f"{name}.pt"

    def done(self, name: str) -> Path:
        """Says that a training has ended."""
        return self.root / "state" / f"{name}.done"
