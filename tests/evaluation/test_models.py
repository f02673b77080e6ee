"""The networks that measure: each against an independent way to the same numbers, and files that are something else."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

import recipe
from evaluation.models.registry import _identity, load_model, load_models
from standins.known_faces import FACES, photo
from standins.yunet import write_yunet
from uniportrait_core.embedding.backbone import FaceBackbone
from uniportrait_core.embedding.face_features import look_at_faces
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.alignment import align

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def load(part: str, spec: str, folder: Path = ROOT):
    return load_model(part, spec, folder, CPU).run


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return photo("astronaut")


# Faces


@pytest.fixture(scope="module")
def facenet_file(tmp_path_factory) -> Path:
    """FaceNet of random weights in the published form, its classifier included."""
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(0)
    model = InceptionResnetV1(classify=True, num_classes=8631)
    file = tmp_path_factory.mktemp("facenet") / "vggface2.pt"
    torch.save(model.state_dict(), file)
    return file


def test_mtcnn_finds_the_faces_that_it_knows(astronaut):
    """With its real weights, on real photos; of the group it also finds faces that are none."""
    detect = load("detector", "mtcnn")
    (face,) = detect(astronaut)
    np.testing.assert_allclose(face.landmarks, FACES["astronaut"][0].landmarks, atol=5)
    assert face.confidence > 0.99
    found = detect(photo("group"))
    for known in FACES["group"]:
        middles = [np.abs((face.landmarks - known.landmarks).mean(axis=0)).max() for face in found]
        assert min(middles) < 6
    areas = [face.area for face in found]
    assert areas == sorted(areas, reverse=True)
    assert detect(np.full((90, 70, 3), 200, np.uint8)) == [] == detect(np.zeros((12, 300, 3), np.uint8))


def test_faces_are_embedded_as_in_fastcomposers_evaluation(facenet_file, astronaut):
    """There MTCNN cuts faces out by itself, and they go to InceptionResnetV1 as they are."""
    from facenet_pytorch import MTCNN, InceptionResnetV1

    model = InceptionResnetV1(classify=True, num_classes=8631).eval()
    model.load_state_dict(torch.load(facenet_file))
    model.classify = False
    cut = MTCNN(image_size=160, margin=0, keep_all=True, post_process=True)
    for picture in (astronaut, photo("group")):
        with torch.no_grad():
            wanted = model(cut(Image.fromarray(picture)))
        recogniser = load("recogniser", f"facenet:{facenet_file}")
        crops = [recogniser.crop(picture, face) for face in load("detector", "mtcnn")(picture)]
        torch.testing.assert_close(recogniser.embed(np.stack(crops)), wanted, rtol=0, atol=1e-6)


def test_a_box_that_leaves_the_picture_is_cut_at_its_edge(facenet_file, astronaut):
    from uniportrait_core.faces.detection import Face

    recogniser = load("recogniser", f"facenet:{facenet_file}")
    for box in ([-50, -50, 60, 60], [500, 500, 900, 900], [600, 10, 700, 40], [5.2, 5.2, 5.3, 5.3]):
        assert recogniser.crop(astronaut, Face(np.array(box), np.zeros((5, 2)), 1.0)).shape == (160, 160, 3)


@pytest.fixture(scope="module")
def backbone_weights() -> dict[str, torch.Tensor]:
    return recipe.weights("encode_small.face_backbone", recipe.shapes("encode_small")["face_backbone"])


def test_arcface_is_the_packs_backbone_and_adaface_sees_bgr(tmp_path, backbone_weights, astronaut):
    (face,) = load("detector", "mtcnn")(astronaut)
    backbone = FaceBackbone.from_tensors(backbone_weights)
    save_file(backbone_weights, tmp_path / "arcface.safetensors")
    arcface = load("recogniser", "arcface:arcface.safetensors", tmp_path)
    crop = align(astronaut, face.landmarks, 224)
    wanted = F.normalize(look_at_faces(backbone, torch.from_numpy(crop)[None] / 255)[0], dim=-1)
    torch.testing.assert_close(arcface.embed(arcface.crop(astronaut, face)[None]), wanted, rtol=0, atol=1e-6)

    prefixed = {f"model.{key}": value for key, value in backbone_weights.items()}
    torch.save({"state_dict": {**prefixed, "head.kernel": torch.zeros(2, 2)}, "epoch": 3}, tmp_path / "adaface.ckpt")
    adaface = load("recogniser", "adaface:adaface.ckpt", tmp_path)
    crop = align(astronaut, face.landmarks, 112)
    pixels = torch.from_numpy(crop[..., ::-1].copy()).movedim(-1, 0)[None].float()
    wanted = F.normalize(backbone((pixels / 255 - 0.5) / 0.5)[0], dim=-1)
    torch.testing.assert_close(adaface.embed(adaface.crop(astronaut, face)[None]), wanted, rtol=0, atol=1e-6)


def test_the_packs_detector(tmp_path, astronaut):
    write_yunet(tmp_path / "yunet.onnx")
    (face,) = load("detector", "yunet:yunet.onnx", tmp_path)(astronaut)
    np.testing.assert_allclose(face.landmarks, FACES["astronaut"][0].landmarks, atol=2)


def test_the_detector_of_drawn_faces(tmp_path):
    """A white disc on black, found by a network that takes what is bright for a face: made, not trained."""
    from uniportrait_core.faces.centre_detector import CentreNet

    network = CentreNet(8)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias) if layer.bias is not None else None
    with torch.no_grad():
        for stage in network.down[:2]:  # brightness goes through the first channel, down to every fourth pixel
            for layer in (stage[0], stage[3]):
                layer.weight[0, :, 1, 1] = 0
                layer.weight[0, 0, 1, 1] = 1
        network.across[0].weight[0, 0] = 1
        network.head[0].weight[0, 0] = 1  # in a window of three spots
        network.head[-1].weight[0, 0] = 1
        network.head[-1].bias[0] = -6.0
        network.head[-1].bias[1:] = torch.tensor([-1, -1, 1, 1, -0.5, -0.5, 0.5, -0.5, 0, 0, -0.4, 0.5, 0.4, 0.5])
    save_file(network.state_dict(), tmp_path / "centre.safetensors")
    detect = load("detector", "centre:centre.safetensors", tmp_path)
    picture = np.zeros((640, 640, 3), np.uint8)
    assert detect(picture) == []
    cv2.circle(picture, (416, 224), 30, (255, 255, 255), -1)
    face = max(detect(picture), key=lambda face: face.confidence)
    np.testing.assert_allclose((face.box[:2] + face.box[2:]) / 2, [416, 224], atol=20)
    np.testing.assert_allclose(face.landmarks[1] - face.landmarks[0], [64, 0], atol=0.1)


# Text and pictures


def test_clip_against_its_own_logits_and_preprocessing_by_hand(clip_folder, astronaut):
    from transformers import AutoTokenizer, CLIPModel

    texts, picture = ["a woman in a space suit", "two dogs"], astronaut[:, 100:400]
    side = 32
    small = Image.fromarray(picture).resize((side, int(512 / 300 * side)), Image.Resampling.BICUBIC)
    top = (small.height - side) // 2
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = (np.asarray(small)[top : top + side] / 255 - mean) / std
    model = CLIPModel.from_pretrained(clip_folder).eval()
    tokens = AutoTokenizer.from_pretrained(clip_folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(pixel_values=torch.from_numpy(pixels).movedim(-1, 0)[None].float(), **tokens).logits_per_image
        wanted = logits / model.logit_scale.exp()
    clip = load("text_image", f"clip:{clip_folder}")
    found = clip.embed_pictures([picture]) @ clip.embed_texts(texts).mT
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    torch.testing.assert_close(clip.embed_texts(texts)[1:], clip.embed_texts(texts[1:]), rtol=0, atol=1e-6)
    assert clip.embed_texts(["x" * 300]).norm() == pytest.approx(1), "what is too long is cut off"


def test_the_aesthetic_predictor_by_hand(tmp_path):
    draw = np.random.default_rng(0)
    widths = [16, 8, 4, 1]
    layers = [(draw.normal(size=(o, i)), draw.normal(size=o)) for i, o in zip(widths, widths[1:], strict=False)]
    numbers = (0, 2, 10)  # as in the published file dropouts lie between; 10 comes after 2
    state = {}
    for number, (weight, bias) in zip(reversed(numbers), reversed(layers), strict=True):
        state[f"layers.{number}.weight"], state[f"layers.{number}.bias"] = map(torch.from_numpy, (weight, bias))
    torch.save(state, tmp_path / "taste.pth")
    embeddings = draw.normal(size=(3, 16))
    wanted = embeddings
    for weight, bias in layers:
        wanted = wanted @ weight.T + bias
    found = load("aesthetic", "laion:taste.pth", tmp_path)(torch.from_numpy(embeddings).float())
    np.testing.assert_allclose(found, wanted[:, 0], rtol=1e-5)


def test_inception_takes_pictures_of_all_sizes(tmp_path, monkeypatch, astronaut):
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    with monkeypatch.context() as patch:  # a network without weights, to have some for the file
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        model = fidelity.FeatureExtractorInceptionV3("inception", ["2048"])
    torch.save(model.state_dict(), tmp_path / "inception.pth")
    inception = load("fid_features", "inception:inception.pth", tmp_path)
    pictures = [astronaut, astronaut[:200], astronaut[::-1], astronaut[:200, ::-1]]
    found = inception(pictures)
    assert found.shape == (4, 2048)
    for picture, features in zip(pictures, found, strict=True):
        wanted = model(torch.from_numpy(picture.copy()).movedim(-1, 0)[None])[0][0]
        assert recipe.relative_error(features, wanted) < 1e-4
    assert recipe.relative_error(found[0], found[2]) > 1e-2


# Names and files


def test_another_recogniser_takes_the_place_by_its_name(tmp_path):
    assert load("recogniser", "painted.load_recogniser").embed(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 3)
    (tmp_path / "a.bin").write_bytes(b"a")
    (tmp_path / "b.bin").write_bytes(b"b")
    identities = [load_model("recogniser", f"painted.load_recogniser:{f}.bin", tmp_path, CPU).identity for f in "ab"]
    assert identities[0] != identities[1], "other content, other model"


def test_of_a_folder_only_what_a_loader_reads_tells_it_apart(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = _identity(tmp_path)
    (tmp_path / "flax_model.msgpack").write_bytes(b"not read")
    assert _identity(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"read")
    assert _identity(tmp_path) != before


@pytest.mark.parametrize(
    ("part", "spec", "said"),
    [
        ("recogniser", "facenet:no.pt", "no.pt was not found, which recogniser = 'facenet:no.pt' names"),
        ("recogniser", "facenet", "names no file, needed is facenet:FILE"),
        ("recogniser", "vgg:text.pt", "recogniser 'vgg' is not known; known are facenet, arcface, adaface"),
        ("recogniser", "painted.nothing", "is not known"),
        ("recogniser", "no.module.load", "is not known"),
        ("recogniser", "lacking.load", r"cannot be imported \(No module named 'no_such_package'\). Install what"),
        ("recogniser", "facenet:text.pt", "text.pt cannot be read as weights|text.pt holds Python objects"),
        ("recogniser", "facenet:other.safetensors", "holds other weights than needed here"),
        ("recogniser", "adaface:other.safetensors", "input_layer.0.weight is missing"),
        ("recogniser", "arcface:other.safetensors", "needed here: an IR face recognition backbone"),
        ("aesthetic", "laion:other.safetensors", "holds other weights"),
        ("fid_features", "inception:other.safetensors", "holds other weights than needed here"),
        ("text_image", "clip:.", "cannot be read as a CLIP model"),
        ("detector", "yunet:text.pt", "is not a YuNet model"),
        ("detector", "insightface:.", "has no detection model"),
        ("detector", "centre:other.safetensors", "cannot be read as the detector of drawn faces"),
    ],
)
def test_files_that_are_something_else(tmp_path, monkeypatch, part, spec, said):
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "lacking.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    save_file({"some.weight": torch.zeros(3, 2), "some.bias": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(UniPortraitError, match=said):
        load(part, spec, tmp_path)


def test_no_code_in_a_file_is_run(tmp_path):
    class Boom:
        def __reduce__(self):
            return (sys.exit, (3,))

    torch.save({"x": Boom()}, tmp_path / "bad.pt")
    for part, name in (("recogniser", "facenet"), ("recogniser", "adaface"), ("fid_features", "inception")):
        with pytest.raises(UniPortraitError, match="nothing of it was run"):
            load(part, f"{name}:bad.pt", tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "names no model"),
        ('detector = "mtcnn"', "names a detector but no recogniser"),
        ('aesthetic = "laion:x"', "names a aesthetic but no text_image"),
        ('recognizer = "x"', "`recognizer` in .* is not known"),
    ],
)
def test_models_files_that_are_wrong(tmp_path, content, said):
    (tmp_path / "models.toml").write_text(content)
    with pytest.raises(UniPortraitError, match=said):
        load_models(tmp_path / "models.toml", CPU)
