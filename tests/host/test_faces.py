"""From photos to faces in the host: both detectors, the choice of a face, group photos, and likeness."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import recipe
import small
from graph import Graph, GraphError, run_node
from standins.detector import FACES, photo, write_detector
from standins.yunet import write_yunet

INSIGHT = {"backend": "insightface", "model": "buffalo_l", "provider": "auto"}
YUNET = {"backend": "yunet", "model": "face_detection_yunet_2023mar.onnx", "provider": "auto"}
NODE = "UniPortraitFaceDetector"
STRICT = 0.999  # the small backbone, which has learned nothing, finds all faces much alike


@pytest.fixture(scope="module")
def models(base, pack):
    """The stand-in detectors where users have theirs; the archive of antelopev2 makes a folder in a folder."""
    folder = base / "models" / "insightface" / "models"
    write_detector(folder / "buffalo_l" / "det_10g.onnx")
    write_detector(folder / "antelopev2" / "antelopev2" / "scrfd_10g_bnkps.onnx")
    write_yunet(base / "models" / "face_detection" / YUNET["model"])
    return base / "models"


@pytest.fixture(scope="module", params=[INSIGHT, YUNET], ids=["insightface", "yunet"])
def detector(models, request):
    return run_node(NODE, **request.param)


@pytest.fixture(scope="module")
def clip(pack):
    return small.clip_vision(recipe.clip_config())


def picture(*names):
    return torch.stack([torch.from_numpy(photo(name)).float() / 255 for name in names])


def norm_crop(name, number):
    """The aligned crop that insightface itself makes of a known face."""
    from insightface.utils.face_align import norm_crop

    return norm_crop(photo(name), np.array(FACES[name][number].landmarks, np.float32), image_size=224)


def assert_crop(crop, name, number):
    assert np.abs(crop.numpy() * 255 - norm_crop(name, number)).mean() < 2


# Face Detector


def schema():
    """The node as the front end is told of it."""
    import nodes

    return nodes.NODE_CLASS_MAPPINGS[NODE].INPUT_TYPES()["required"]


def options(name):
    kind, settings = schema()[name]
    return settings["options"] if kind == "COMBO" else kind


def test_every_model_is_offered(models):
    assert options("backend") == ["insightface", "yunet", "mini world"]
    assert options("model") == ["antelopev2", "buffalo_l", YUNET["model"], "mini-world-face_detector"]
    assert schema()["model"][1]["default"] == "buffalo_l"


def test_the_providers_of_onnxruntime_are_offered(models):
    import onnxruntime

    offered = options("provider")
    assert offered[0] == "auto" and offered[-1] == "CPUExecutionProvider"
    assert set(offered[1:]) == set(onnxruntime.get_available_providers())


@pytest.mark.parametrize("model", ["buffalo_l", "antelopev2"])
def test_packs_in_both_layouts(models, model):
    detector = run_node(NODE, **{**INSIGHT, "model": model})
    assert detector(np.zeros((640, 640, 3), np.uint8), 0.5) == []


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "ROCMExecutionProvider", "NoSuchProvider"])
def test_a_provider_of_another_machine_is_replaced(models, provider):
    """A shared workflow must not fail for it."""
    assert run_node(NODE, **{**INSIGHT, "provider": provider})


def test_every_path_that_was_tried_is_told(models):
    with pytest.raises(
        GraphError, match=r"pack named 'buffalo_s' is in .*Unpack buffalo_l.zip of insightface to"
    ) as error:
        run_node(NODE, **{**INSIGHT, "model": "buffalo_s"})
    folder = models / "insightface" / "models" / "buffalo_s"
    assert f"{folder}, {folder / '*'}." in str(error.value)
    assert f"to {folder.parent / 'buffalo_l'}" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({**YUNET, "model": "buffalo_l"}, "set backend to insightface"),
        ({**INSIGHT, "model": YUNET["model"]}, "set backend to yunet"),
        ({**YUNET, "model": "missing.onnx"}, "Put face_detection_yunet_2023mar.onnx there"),
        ({**YUNET, "model": "../outside.onnx"}, "Put face_detection_yunet_2023mar.onnx there"),
        ({**INSIGHT, "model": "../insightface"}, "Unpack buffalo_l.zip"),
    ],
)
def test_a_model_that_does_not_fit_the_backend(models, settings, advice):
    (models / "outside.onnx").write_bytes(b"")
    with pytest.raises(GraphError, match=re.escape(advice)):
        run_node(NODE, **settings)


# Encode Face ID with a detector


def encode(uniportrait, clip, image, detector, **settings):
    graph = Graph()
    encoded = graph.add(
        "FaceIDEncode",
        uniportrait=graph.give(uniportrait),
        clip_vision=graph.give(clip),
        image=graph.give(image),
        structure_scale=0.1,
        detector=graph.give(detector),
        **settings,
    )
    graph.take(encoded, "face_id")
    graph.take([encoded[0], 1], "crops")
    result = graph.run()
    return result["face_id"], result["crops"]


def test_a_detector_does_what_aligned_crops_do(uniportrait, clip, detector):
    astronaut = picture("astronaut")
    (found,), crops = encode(uniportrait, clip, astronaut, detector)
    assert_crop(crops[0], "astronaut", 0)
    inputs = {"uniportrait": uniportrait, "clip_vision": clip, "structure_scale": 0.1}
    (given,) = run_node("FaceIDEncode", image=crops, **inputs)
    assert torch.equal(found.cond, given.cond) and torch.equal(found.embedding, given.embedding)
    (whole_photo,) = run_node("FaceIDEncode", image=astronaut, **inputs)
    assert not torch.allclose(found.cond, whole_photo.cond, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({}, 2),
        ({"face": "largest", "face_index": 1}, 0),
        ({"face": "left to right"}, 0),
        ({"face": "left to right", "face_index": 5}, 5),
    ],
)
def test_the_face_that_is_asked_for(uniportrait, clip, detector, settings, number):
    _, crops = encode(uniportrait, clip, picture("group"), detector, **settings)
    assert_crop(crops[0], "group", number)


def test_the_most_confident_face(uniportrait, clip, detector):
    def unsure_of_the_first(canvas, min_confidence):
        found = sorted(detector(canvas, min_confidence), key=lambda face: face.box[0])
        return [type(face)(face.box, face.landmarks, 0.5 + number / 10) for number, face in enumerate(found)]

    for index, number in ((0, 5), (2, 3)):
        settings = {"face": "most confident", "face_index": index}
        _, crops = encode(uniportrait, clip, picture("group"), unsure_of_the_first, **settings)
        assert_crop(crops[0], "group", number)


def faceless_and_face():
    astronaut = picture("astronaut")
    return torch.cat([torch.full_like(astronaut, 0.5), astronaut])


def test_photos_without_the_face_can_be_skipped(uniportrait, clip, detector):
    (person,), crops = encode(uniportrait, clip, faceless_and_face(), detector, no_face="skip photo")
    assert len(crops) == 1
    (alone,), _ = encode(uniportrait, clip, picture("astronaut"), detector)
    assert torch.equal(person.cond, alone.cond)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"No face found in photo 1 of 2 \(512×512\)\. Use a photo .* lower min_confidence"),
        ({"face_index": 1, "no_face": "skip photo"}, "None of the 2 photos .* has face number 1, so all were skipped"),
    ],
)
def test_photos_without_the_face(uniportrait, clip, detector, settings, message):
    with pytest.raises(GraphError, match=message):
        encode(uniportrait, clip, faceless_and_face(), detector, **settings)


def test_a_number_beyond_the_faces(uniportrait, clip, detector):
    with pytest.raises(GraphError, match="There are 6 faces in photo 1 of 1, and face_index is 6.*Lower face_index"):
        encode(uniportrait, clip, picture("group"), detector, face_index=6)


def test_min_confidence_decides_what_is_a_face(uniportrait, clip, detector):
    astronaut = picture("astronaut")
    with pytest.raises(GraphError, match="No face found"):
        encode(uniportrait, clip, astronaut, detector, min_confidence=1.0)


# Detect Faces


def detect_faces(detector, image, order="left to right", min_confidence=0.5, **settings):
    graph = Graph()
    detected = graph.add(
        "UniPortraitDetectFaces",
        detector=graph.give(detector),
        image=graph.give(image),
        order=order,
        min_confidence=min_confidence,
        **settings,
    )
    for number, name in enumerate(("image", "crops", "masks")):
        graph.take([detected[0], number], name)
    result = graph.run()
    if settings:
        return result["masks"]
    return result["image"], result["crops"], graph.shown[detected[0]]["images"]


@pytest.mark.parametrize(("order", "numbers"), [("left to right", range(6)), ("largest", (2, 0, 4, 5, 3, 1))], ids=str)
def test_every_face_of_a_group_becomes_a_crop(detector, order, numbers):
    _, crops, _ = detect_faces(detector, picture("group"), order)
    assert crops.shape == (6, 224, 224, 3)
    for crop, number in zip(crops, numbers, strict=True):
        assert_crop(crop, "group", number)


def test_every_face_has_a_mask(detector):
    """In the order of the numbers, in the photo's size, around that face and no other; larger if it is to grow."""
    masks, larger = (detect_faces(detector, picture("group"), mask_grow=grow) for grow in (0.2, 0.5))
    assert masks.shape == (6, *picture("group").shape[1:3]) and masks.dtype == torch.float32
    for number, mask in enumerate(masks):
        centres = [np.array(face.landmarks).mean(axis=0).astype(int) for face in FACES["group"]]
        assert [int(mask[y, x]) for x, y in centres] == [int(number == other) for other in range(6)]
    assert (larger >= masks).all() and (larger.sum((1, 2)) > 1.5 * masks.sum((1, 2))).all()
    several = detect_faces(detector, picture("group").repeat(2, 1, 1, 1), mask_grow=0.2)
    assert torch.equal(several, masks.repeat(2, 1, 1))


def test_the_faces_are_drawn_on_the_photo_and_shown(detector, base):
    drawn, _, (shown,) = detect_faces(detector, picture("group"))
    changed = ((drawn - picture("group")).abs().sum(-1) > 0.1)[0]
    for known in FACES["group"]:
        left, top, right, bottom = map(int, known.box)
        assert changed[top : bottom + 1, left - 4 : left + 5].any(1).all()  # the box's left side
        assert not changed[(top + bottom) // 2, (left + right) // 2 + 12]
    assert changed.float().mean() < 0.1
    file = np.asarray(Image.open(base / "temp" / shown["subfolder"] / shown["filename"]))
    assert np.abs(file - drawn[0].numpy() * 255).max() <= 1


def test_faces_of_all_photos_come_one_after_the_other(detector):
    _, one, _ = detect_faces(detector, picture("group"))
    drawn, both, shown = detect_faces(detector, picture("group", "group"))
    assert torch.equal(both, torch.cat([one, one])) and len(shown) == 2
    assert not torch.equal(drawn[0], drawn[1])  # the numbers go on


def test_photos_without_any_face(detector):
    with pytest.raises(
        GraphError, match=r"No face found in any of 1 photos \(640×480\).*min_confidence on Detect Faces"
    ):
        detect_faces(detector, torch.full((1, 480, 640, 3), 0.5))


def test_a_group_photo_becomes_several_people(uniportrait, clip, detector):
    _, crops, _ = detect_faces(detector, picture("group"))
    people = run_node(
        "FaceIDEncode",
        uniportrait=uniportrait,
        clip_vision=clip,
        image=crops,
        structure_scale=0.3,
        batch="one person per photo",
    )
    assert len(people) == 6
    for number, person in enumerate(people):
        settings = {"face": "left to right", "face_index": number}
        (alone,), _ = encode(uniportrait, clip, picture("group"), detector, **settings)
        assert recipe.relative_error(person.embedding, alone.embedding) <= 1e-5


# Face Similarity


def similarity(uniportrait, detector, image, face_id, **settings):
    graph = Graph()
    node, _ = graph.add(
        "UniPortraitFaceSimilarity",
        uniportrait=graph.give(uniportrait),
        detector=graph.give(detector),
        image=graph.give(image),
        face_id=graph.give(face_id),
        **{"min_confidence": 0.5, "threshold": 0.4, **settings},
    )
    graph.take([node, 0], "image")
    for slot, name in enumerate(("scores", "lowest", "person_twice"), start=1):
        graph.take_list([node, slot], name)
    graph.take([node, 4], "report")
    return {**graph.run(), "shown": graph.shown[node]}


@pytest.fixture(scope="module")
def group(uniportrait, clip, detector):
    """Everybody on the group photo, from left to right."""
    people = []
    for number in range(6):
        settings = {"face": "left to right", "face_index": number}
        people += encode(uniportrait, clip, picture("group"), detector, **settings)[0]
    return tuple(people)


def cosines(people):
    embeddings = torch.stack([person.embedding for person in people])
    return embeddings @ embeddings.mT


def test_people_in_their_own_photo_score_one(uniportrait, detector, group):
    """In any order: each face is matched to its person."""
    chosen = (group[4], group[0], group[2])
    result = similarity(uniportrait, detector, picture("group"), chosen, threshold=STRICT)
    assert result["scores"] == pytest.approx([1, 1, 1], abs=1e-4)
    assert result["lowest"] == pytest.approx([1], abs=1e-4)
    report, _, blending = result["report"].partition(", blending ")
    assert report == "Picture 1: person 1 1.00, person 2 1.00, person 3 1.00; lowest 1.00"
    alike = cosines(group)[tuple(torch.triu_indices(6, 6, offset=1))].clamp(min=0).mean().item()
    assert float(blending) == pytest.approx(alike, abs=0.006)
    assert result["shown"]["text"] == (result["report"],) or result["shown"]["text"] == [result["report"]]
    assert len(result["shown"]["images"]) == 1 and result["image"].shape == picture("group").shape
    assert not torch.equal(result["image"], picture("group"))


def test_a_stranger_takes_the_face_that_is_left(uniportrait, detector, clip, group):
    (stranger,), _ = encode(uniportrait, clip, picture("astronaut"), detector)
    result = similarity(uniportrait, detector, picture("group"), (*group[:5], stranger))
    expected = cosines((group[5], stranger))[0, 1].item()
    assert result["scores"] == pytest.approx([1] * 5 + [expected], abs=1e-4)
    assert result["lowest"] == pytest.approx([expected], abs=1e-4)


def test_a_person_on_two_faces_is_flagged(uniportrait, detector, group):
    """The face of the first person is pasted over that of the fourth."""
    twice = picture("group")
    twice[:, 320:530, 710:890] = twice[:, 230:440, 20:200]
    chosen = (group[0], group[3])
    strict = (1 + cosines(group).fill_diagonal_(-1).max().item()) / 2  # above all who only look alike
    result = similarity(uniportrait, detector, twice, chosen, threshold=strict)
    assert result["person_twice"] == [True] and "(on two faces)" in result["report"]
    once = similarity(uniportrait, detector, picture("group"), chosen, threshold=strict)
    assert once["person_twice"] == [False] and "two faces" not in once["report"]
    assert result["lowest"][0] < once["lowest"][0]


def test_pictures_without_faces_score_nothing(uniportrait, detector, group):
    grey = torch.full_like(picture("group"), 0.5)
    pictures = torch.cat([grey, picture("group")])
    result = similarity(uniportrait, detector, pictures, group[:2], threshold=STRICT)
    assert result["scores"] == pytest.approx([0, 0, 1, 1], abs=1e-4) and result["person_twice"] == [False, False]
    assert result["lowest"] == pytest.approx([0, 1], abs=1e-4)
    first, second = result["report"].splitlines()
    assert first == "Picture 1: person 1 not found, person 2 not found; lowest 0.00"
    assert second.startswith("Picture 2: person 1 1.00")
    assert torch.equal(result["image"][0], (grey[0] * 255).round() / 255)


def test_people_without_an_embedding_cannot_be_scored(uniportrait, detector, core):
    with pytest.raises(GraphError, match="Person 1 of 2 has no face embedding, needed is one of 512.*Encode the"):
        similarity(uniportrait, detector, picture("astronaut"), small.people(core, 2))


def test_evaluation_gives_the_same_numbers(models, uniportrait, detector, clip, request, tmp_path):
    """Same detector, same recogniser: Face Sim and BS of `python -m evaluation score` are the node's."""
    sys.path.append(str(Path(__file__).parents[2]))  # last, so that the pack's `nodes` does not hide the host's
    from accelerate import PartialState

    from evaluation.models.registry import Models, load_model
    from evaluation.pictures.folder import Picture
    from evaluation.score.cache import FeatureCache
    from evaluation.score.scores import Scorer

    folder, cpu = tmp_path, torch.device("cpu")
    for name in FACES:
        Image.fromarray(photo(name)).save(folder / f"{name}.png")
    yunet = request.node.callspec.params["detector"] is YUNET
    file = "face_detection/" + YUNET["model"] if yunet else "insightface/models/buffalo_l"
    spec = f"{'yunet' if yunet else 'insightface'}:{file}"
    recogniser = load_model("recogniser", f"arcface:uniportrait/{small.BACKBONE}", models, cpu)
    found = Models(load_model("detector", spec, models, cpu), recogniser)
    names = ("astronaut", "group")
    references = tuple((folder / f"{name}.png",) for name in names)
    pictures = [Picture(folder / f"{name}.png", "", "", names, references) for name in names]
    scores = Scorer(found, FeatureCache(folder / "cache.sqlite"), PartialState(cpu=True)).scores(pictures)

    people = [encode(uniportrait, clip, picture(name), detector)[0][0] for name in names]
    for score, name in zip(scores, names, strict=True):
        result = similarity(uniportrait, detector, picture(name), tuple(people))
        assert list(score.likeness.scores) == pytest.approx(result["scores"], abs=1e-4)
        assert score.face_sim == pytest.approx(max(result["lowest"][0], 0), abs=1e-4)
        told = re.search(r"blending (\S+)", result["report"])
        assert (told and float(told[1])) == (score.blending and pytest.approx(score.blending, abs=0.006))
    assert scores[0].blending is None and scores[1].blending > 0
