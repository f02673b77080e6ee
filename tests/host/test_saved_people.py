"""The routes for saved people in a real server: what they answer to good requests, and to hostile ones."""

from __future__ import annotations

import http.client
import importlib
import io
import json
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saved
from comfy_server import ComfyClient, comfy_server

PEOPLE = "/uniportrait/people"
JSON = "application/json"
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    with comfy_server(Path(os.environ["COMFYUI_PATH"]), tmp_path_factory.mktemp("models")) as running:
        yield running


@pytest.fixture
def folder(server: ComfyClient) -> Iterator[Path]:
    """Where people are saved, empty again afterwards."""
    made = server.base / "output" / "uniportrait_faces"
    made.mkdir(parents=True)
    yield made
    made.rename(server.base / f"done-{os.urandom(8).hex()}")


def ask(server: ComfyClient, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """A request as it is, without the checks that a library for requests would make."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return answer


def post(server: ComfyClient, route: str, body: Any) -> tuple[int, dict]:
    status, _, content = ask(server, "POST", f"{PEOPLE}/{route}", json.dumps(body).encode(), Content_Type=JSON)
    return status, json.loads(content)


def listed(server: ComfyClient) -> list[dict]:
    return json.loads(server.request(PEOPLE))["people"]


def thumbnail(server: ComfyClient, file: str, **query: object) -> Answer:
    return ask(server, "GET", f"{PEOPLE}/thumbnail?" + urllib.parse.urlencode({"file": file, **query}))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_refused(answer: tuple[int, dict], status: int) -> None:
    """With that status, and in words: what is wrong, and what to do."""
    assert answer[0] == status, answer
    assert len(answer[1]["error"]) > 10 and len(answer[1]["cure"]) > 5


# The list


def test_everybody_is_listed_by_name(server, folder):
    saved.save(folder, "zoe", 1)
    saved.save(folder, "Anna_00001_", 2)
    saved.save(folder, "Anna_00002_", 3)
    saved.save(folder / "friends", "bob", 4, 5)
    saved.save(folder, "old", 6, face=False)
    (folder / "broken.safetensors").write_bytes(b"not a face")
    (folder / "notes.txt").write_text("no person")
    (folder / "half.safetensors.12.part").write_bytes(b"being written")
    people = listed(server)
    assert [person["name"] for person in people] == ["Anna", "Anna 2", "bob", "broken", "old", "zoe"]
    anna, _, bob, broken, old, _ = people
    assert (anna["file"], anna["count"], anna["faces"]) == ("Anna_00001_.safetensors", 1, [0])
    assert (bob["file"], bob["folder"], bob["count"]) == (os.path.join("friends", "bob.safetensors"), "friends", 2)
    assert old["faces"] == [] and old["problem"] == ""
    assert "broken.safetensors is not a readable face identity" in broken["problem"]
    assert all(person["changeable"] for person in people)
    combo = server.object_info("UniPortraitLoadFaceID")["UniPortraitLoadFaceID"]["input"]["required"]["face_id_file"]
    choices = combo[0] if isinstance(combo[0], list) else combo[1]["options"]
    assert {person["file"] for person in people} == set(choices)  # by the names that Load Face ID takes


def test_no_folder_is_an_empty_list(server):
    assert listed(server) == []


def test_what_is_hidden_or_leads_out_is_not_listed(server, folder, tmp_path):
    outside = saved.save(tmp_path, "secret", 1)
    saved.save(folder / ".hidden", "anna", 1)
    saved.save(folder, ".anna", 1)
    os.symlink(outside, folder / "link.safetensors")
    os.symlink(tmp_path, folder / "folder")
    assert listed(server) == []
    for file in ("link.safetensors", "folder/secret.safetensors", ".anna.safetensors", ".hidden/anna.safetensors"):
        assert thumbnail(server, file)[0] in (400, 404)
        assert post(server, "rename", {"file": file, "name": "mine"})[0] in (400, 404)
        post(server, "delete", {"files": [file]})
    assert outside.is_file() and (folder / "link.safetensors").is_symlink() and (folder / ".anna.safetensors").is_file()


# Thumbnails


def test_a_face_is_sent_small_and_kept_by_the_browser(server, folder):
    saved.save(folder, "anna", 1, 2)
    (anna,) = listed(server)
    status, headers, content = thumbnail(server, anna["file"], person=1, version=anna["version"])
    assert status == 200 and headers["content-type"] == "image/jpeg" and len(content) < 10_000
    picture = np.asarray(Image.open(io.BytesIO(content)), np.float32)
    assert np.abs(picture - saved.drawn(2)).mean() < 4  # person 1 is the second; JPEG
    assert "max-age" in headers["cache-control"] and "private" in headers["cache-control"]
    path = f"{PEOPLE}/thumbnail?file=anna.safetensors&person=1"
    assert ask(server, "GET", path, If_None_Match=headers["etag"])[0] == 304
    assert "no-cache" in ask(server, "GET", path)[1]["cache-control"]  # nobody said which version
    saved.save(folder, "anna", 3, 4)
    assert ask(server, "GET", path, If_None_Match=headers["etag"])[0] == 200


@pytest.mark.parametrize("person", ["2", "-1", "1.0", "one", "", "99999", "١"])
def test_a_person_who_is_not_in_the_file(server, folder, person):
    saved.save(folder, "anna", 1, 2)
    status, _, content = thumbnail(server, "anna.safetensors", person=person)
    assert_refused((status, json.loads(content)), 404 if person == "2" else 400)


def test_no_face_and_no_readable_file(server, folder):
    saved.save(folder, "old", 1, face=False)
    (folder / "broken.safetensors").write_bytes(b"not a face")
    assert thumbnail(server, "old.safetensors")[0] == 404
    status, _, content = thumbnail(server, "broken.safetensors")
    assert status == 500 and "not a readable face identity" in json.loads(content)["error"]


# Names of files that are to be none

HOSTILE = [
    "../secret.safetensors", "..\\secret.safetensors", "friends/../../secret.safetensors", "/etc/passwd",
    "/tmp/a.safetensors", "C:\\a.safetensors", "C:a.safetensors", "\\\\server\\share\\a.safetensors",
    "a.safetensors:stream.sft", "~/a.safetensors", "./anna.safetensors", "friends//anna.safetensors",
    "anna.safetensors/", "anna.safetensors\x00.sft", "anna\n.safetensors", "\ud800.safetensors",
    "%2e%2e/secret.safetensors", "....//secret.safetensors", ".safetensors", "anna.txt", "anna", "", ".", "..",
    "a" * 2000 + ".safetensors", None, 7, ["anna.safetensors"], {}, True,
]  # fmt: skip


@pytest.mark.parametrize("file", HOSTILE, ids=lambda file: ascii(file)[:30])
def test_hostile_files(server, folder, file):
    secret = saved.save(folder.parent, "secret", 1)
    anna = saved.save(folder, "anna", 1)
    assert_refused(post(server, "rename", {"file": file, "name": "mine"}), 400 if file not in NOT_THERE else 404)
    status, answer = post(server, "delete", {"files": ["anna.safetensors", file]})
    if file in NOT_THERE:
        assert (status, answer["deleted"]) == (200, ["anna.safetensors"])
        assert_refused((404, answer["failed"][0]), 404)
    else:
        assert_refused((status, answer), 400)
        assert anna.is_file()  # nothing of such a list is deleted
    assert secret.is_file()
    if isinstance(file, str) and file != "\ud800.safetensors":
        assert thumbnail(server, file)[0] in (400, 404)
    secret.unlink()


NOT_THERE = ("~/a.safetensors", "%2e%2e/secret.safetensors")  # plain names, of no file


# Renaming

BAD_NAMES = [
    "", "   ", ".", "..", ".hidden", "dot.", "a/b", "a\\b", "../up", "a:b", 'say "hi"', "what?", "a|b", "<a>", "a*b",
    "nul", "CON", "com1", "LPT9.txt", "aux.anna", "tab\there", "zero\x00", "line\u2028break", "turned\u202ename",
    "wide\u200b", "\ud800", "a" * 81, "漢" * 70, "x" * 100_000, None, 7, ["anna"], {"name": "anna"},
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:30])
def test_names_that_are_none(server, folder, name):
    saved.save(folder, "anna", 1)
    assert_refused(post(server, "rename", {"file": "anna.safetensors", "name": name}), 400)
    assert files(folder) == ["anna.safetensors"]


@pytest.mark.parametrize(
    "name", ["Bob", "José María", "Anna & Bob's", "李小龙", "null", "console", "a.b", "100%", "-rf"]
)
def test_a_person_gets_another_name(server, folder, name):
    before = saved.save(folder / "friends", "anna_00001_", 1).read_bytes()
    status, answer = post(server, "rename", {"file": "friends/anna_00001_.safetensors", "name": f"  {name} "})
    assert (status, answer) == (200, {"file": os.path.join("friends", f"{name}.safetensors")})
    assert files(folder) == [f"friends/{name}.safetensors"]
    assert (folder / "friends" / f"{name}.safetensors").read_bytes() == before
    assert [person["name"] for person in listed(server)] == [name]


@pytest.mark.parametrize("name", ["bob", "BOB", "Zoe\u0301"])
def test_nobody_is_overwritten(server, folder, name):
    saved.save(folder, "anna", 1)
    before = {path: path.read_bytes() for path in (saved.save(folder, "bob", 2), saved.save(folder, "zoé", 3))}
    assert_refused(post(server, "rename", {"file": "anna.safetensors", "name": name}), 409)
    assert files(folder) == ["anna.safetensors", "bob.safetensors", "zoé.safetensors"]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_only_capitals_change(server, folder):
    saved.save(folder, "anna", 1)
    assert post(server, "rename", {"file": "anna.safetensors", "name": "Anna"})[0] == 200
    assert post(server, "rename", {"file": "Anna.safetensors", "name": "Anna"}) == (200, {"file": "Anna.safetensors"})
    assert files(folder) == ["Anna.safetensors"]


def test_what_lies_among_the_models_is_not_changed(server, folder):
    models = server.base / "models" / "uniportrait_faces"
    given = saved.save(models, "given", 1)
    saved.save(folder, "anna", 2)
    assert [(person["name"], person["changeable"]) for person in listed(server)] == [("anna", True), ("given", False)]
    assert_refused(post(server, "rename", {"file": "given.safetensors", "name": "mine"}), 403)
    status, answer = post(server, "delete", {"files": ["given.safetensors"]})
    assert status == 200 and answer["deleted"] == [] and "nothing is changed" in answer["failed"][0]["error"]
    assert_refused(post(server, "rename", {"file": "anna.safetensors", "name": "given"}), 409)  # it would be hidden
    given.unlink()


# Deleting


def test_several_are_deleted_and_no_others(server, folder):
    for number, name in enumerate(("anna", "bob", "friends/carl", "dora")):
        saved.save(folder, name, number)
    wanted = ["anna.safetensors", "friends/carl.safetensors", "gone.safetensors"]
    status, answer = post(server, "delete", {"files": wanted})
    assert status == 200 and answer["deleted"] == wanted[:2]
    assert [failed["file"] for failed in answer["failed"]] == ["gone.safetensors"]
    assert files(folder) == ["bob.safetensors", "dora.safetensors"]


@pytest.mark.parametrize("body", [[], "anna.safetensors", None, 7, {}, {"files": []}, {"files": "anna.safetensors"},
                                  {"files": ["a.sft"] * 6000}])  # fmt: skip
def test_bodies_that_are_no_list_of_people(server, folder, body):
    saved.save(folder, "anna", 1)
    assert_refused(post(server, "delete", body), 400)
    assert files(folder) == ["anna.safetensors"]


# How requests come


@pytest.mark.parametrize("route", ["rename", "delete"])
def test_only_json_that_is_posted_changes_anything(server, folder, route):
    saved.save(folder, "anna", 1)
    body = json.dumps({"file": "anna.safetensors", "name": "bob", "files": ["anna.safetensors"]}).encode()
    path = f"{PEOPLE}/{route}"
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        assert ask(server, method, f"{path}?file=anna.safetensors&name=bob", body, Content_Type=JSON)[0] in (404, 405)
    # What a page of another site can send without being asked: a form, or text.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""):
        assert ask(server, "POST", path, body, Content_Type=kind)[0] == 415
    for origin in ("http://evil.example", "http://127.0.0.1:1"):
        assert ask(server, "POST", path, body, Content_Type=JSON, Origin=origin)[0] == 403
        asked = ask(server, "OPTIONS", path, Origin=origin, Access_Control_Request_Method="POST")
        assert "access-control-allow-origin" not in asked[1]
    for broken in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'"text"'):
        assert ask(server, "POST", path, broken, Content_Type=JSON)[0] == 400
    assert ask(server, "POST", path, b" " * 1_100_000 + body, Content_Type=JSON)[0] == 413
    assert files(folder) == ["anna.safetensors"]


class Counting(io.FileIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        Counting.count += len(content)
        return content


def test_the_list_reads_the_beginnings_of_files_alone(folder, pack, monkeypatch):
    """No tensor is loaded to list a thousand people."""
    people, header = (
        importlib.import_module(f"{pack.__name__}.{name}")
        for name in ("host.web.saved_people", "uniportrait_core.files.identity_header")
    )
    path = saved.save(folder, "anna", *range(10))
    monkeypatch.setattr(header, "open", lambda path, _: Counting(path), raising=False)
    (anna,) = people.list_people([folder], folder)
    assert anna["faces"] == tuple(range(10))
    assert 0 < Counting.count < 10_000 < path.stat().st_size
