"""What Encode Face ID and Detect Faces tell the front end of the faces in photos, for it to frame them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import recipe
import small
from graph import Graph, GraphError

PEOPLE = {  # boxes and confidences by the photo's grey level
    60: [],
    120: [((300, 40, 380, 140), 0.9)],
    180: [((20, 60, 120, 180), 0.6), ((400, 30, 460, 100), 0.95), ((200, 50, 330, 210), 0.8)],
}


@pytest.fixture(scope="module")
def clip(pack):
    return small.clip_vision(recipe.clip_config())


@pytest.fixture
def detector(core):
    """Finds the faces of `PEOPLE`, in photos as large as the canvas, and counts how often it is asked."""
    face = core("faces.detection").Face

    def detect(picture, min_confidence):
        detect.calls += 1
        known = PEOPLE.get(int(picture[0, 0, 0]), [])
        return [landmarked(face, box, sure) for box, sure in known if sure >= min_confidence]

    detect.calls = 0
    return detect


def landmarked(face, box, confidence):
    left, top, right, bottom = box
    places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
    return face(np.array(box, float), places * (right - left, bottom - top) + (left, top), confidence)


def photos(*levels, size=(480, 640)):
    return torch.stack([torch.full((*size, 3), level / 255) for level in levels])


def encoded(uniportrait, clip, image, detector=None, **settings):
    graph = Graph()
    given = {"uniportrait": uniportrait, "clip_vision": clip, "image": image} | (
        {"detector": detector} if detector else {}
    )
    links = {name: graph.give(value) for name, value in given.items()}
    node, _ = graph.add("FaceIDEncode", structure_scale=0.1, **links, **settings)
    graph.take([node, 0])
    graph.run()
    return graph.shown[node]


def detected(detector, image, split=0, **settings):
    """Photos in the first run of the node; with `split` the photos come as a list of batches of so many."""
    graph = Graph()
    link = graph.give(image)
    if split:
        link = graph.add("RebatchImages", images=link, batch_size=split)
    inputs = {"order": "left to right", "min_confidence": 0.5, "mask_grow": 0.2} | settings
    node, _ = graph.add("UniPortraitDetectFaces", detector=graph.give(detector), image=link, **inputs)
    graph.take_list([node, 1])
    graph.run()
    return graph.shown[node]


def test_encode_tells_where_the_faces_are(uniportrait, clip, detector, base):
    shown = encoded(uniportrait, clip, photos(180), detector, face="left to right", face_index=1, min_confidence=0.55)
    assert len(shown["images"]) == 1  # the crops, as before
    ((photo,),) = json.loads(json.dumps(shown["faces"]))
    assert (photo["width"], photo["height"]) == (640, 480)
    assert (photo["order"], photo["index"], photo["min_confidence"]) == ("left to right", 1, 0.55)
    assert [face["box"] for face in photo["faces"]] == [list(map(float, box)) for box, _ in PEOPLE[180]]
    assert [face["confidence"] for face in photo["faces"]] == [0.6, 0.95, 0.8]
    for face in photo["faces"]:
        left, top, right, bottom = face["box"]
        assert len(face["landmarks"]) == 5
        assert all(left <= x <= right and top <= y <= bottom for x, y in face["landmarks"])
    assert photo["photo"]["type"] == "temp"
    with Image.open(base / "temp" / photo["photo"]["subfolder"] / photo["photo"]["filename"]) as picture:
        assert picture.size == (640, 480) and np.abs(np.asarray(picture).astype(int) - 180).max() < 4


def test_faces_are_looked_for_once(uniportrait, clip, detector):
    encoded(uniportrait, clip, photos(180, 120), detector)
    detected(detector, photos(180, 120))
    assert detector.calls == 4


def test_a_large_photo_is_shown_small(detector, base):
    """Its boxes stay in its own pixels."""
    ((photo,),) = detected(detector, photos(120, size=(1500, 2000)))["faces"]
    assert (photo["width"], photo["height"]) == (2000, 1500)
    assert photo["faces"][0]["box"] == pytest.approx([x * 2000 / 640 for x in PEOPLE[120][0][0]])
    with Image.open(base / "temp" / photo["photo"]["filename"]) as picture:
        assert picture.size == (1024, 768)


def test_photos_without_a_face_are_shown_too(uniportrait, clip, detector):
    for shown in (
        encoded(uniportrait, clip, photos(60, 180), detector, no_face="skip photo"),
        detected(detector, photos(60, 180)),
    ):
        (run,) = shown["faces"]
        assert [len(photo["faces"]) for photo in run] == [0, 3]
        assert len({photo["photo"]["filename"] for photo in run}) == 2


def test_crops_that_are_given_have_no_faces_to_choose(uniportrait, clip):
    shown = encoded(uniportrait, clip, photos(180, size=(224, 224)))
    assert shown["faces"] == [] and len(shown["images"]) == 1


def test_detect_faces_chooses_none(detector):
    ((photo,),) = detected(detector, photos(180), order="largest")["faces"]
    assert photo["index"] is None and photo["order"] == "largest"


def test_every_run_of_a_list_is_told_apart(detector):
    shown = detected(detector, photos(180, 120, 120), split=2)
    assert [[len(photo["faces"]) for photo in run] for run in shown["faces"]] == [[3, 1], [1]]
    assert len(shown["images"]) == 3


def test_nothing_is_shown_where_no_photo_has_a_face(detector, base):
    before = set((base / "temp").glob("uniportrait_photo_*"))
    with pytest.raises(GraphError, match="No face found"):
        detected(detector, photos(60))
    assert set((base / "temp").glob("uniportrait_photo_*")) == before
