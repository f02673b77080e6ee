"""`get_models.py` against a small server that speaks the hub's protocol."""

import errno
import hashlib
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import get_models
from fake_hub import COMMIT, FakeHub, Stored, fake_hub
from model_files import archive
from model_files.table import ModelFile, choose, read_table

ROOT = Path(__file__).parents[2]
FACEID, BACKBONE, PACK, YUNET = "faceid.bin", "backbone.bin", "pack", "yunet.onnx"


def content(name: str, size: int = 300_000) -> bytes:
    return random.Random(name).randbytes(size)


DETECTOR, OTHER = content("detector", 2000), content("other", 1000)
MEMBERS = {"det.onnx": DETECTOR, "other.onnx": OTHER}


def zipped(members: dict[str, bytes], **attributes: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, body in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = attributes.get("mode", 0o644) << 16
            opened.writestr(info, body)
    return file.getvalue()


ARCHIVE = zipped({**MEMBERS, "readme.txt": b"not for the models folder"})


def ask_at(url: str, monkeypatch) -> None:
    """Let the hub's library, which read its environment long ago, ask another server. Versions differ in where."""
    from huggingface_hub import constants, file_download

    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        monkeypatch.setattr(module, "ENDPOINT", url, raising=False)
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)


@pytest.fixture
def hub(monkeypatch) -> FakeHub:
    """A server with three files and an archive, in the place of the hub."""
    from huggingface_hub import constants, file_download

    with fake_hub() as running:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        ask_at(running.url, monkeypatch)
        for module in (constants, file_download):  # what a broken connection may lose
            monkeypatch.setattr(module, "DOWNLOAD_CHUNK_SIZE", 10_000, raising=False)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        running.files |= {f"some/weights/{name}": Stored(content(name)) for name in (FACEID, BACKBONE)}
        running.files["some/detector/sub/there.onnx"] = Stored(content(YUNET, 5000), small=True)
        running.files["mine/pack.zip"] = Stored(ARCHIVE)
        yield running


@pytest.fixture
def table(hub) -> list[ModelFile]:
    """What is to be got from it."""
    research = {"licence": "research", "research_only": True, "without": "nothing at all"}
    members = {name: hashlib.sha256(body).hexdigest() for name, body in MEMBERS.items()}
    about = {
        "size": len(ARCHIVE),
        "sha256": hashlib.sha256(ARCHIVE).hexdigest(),
        "needed": "det.onnx",
        "members": members,
    }
    return [
        ModelFile(FACEID, "uniportrait", "1 MB", "Apache-2.0", repository="some/weights", path=FACEID),
        ModelFile(BACKBONE, "uniportrait", "1 MB", repository="some/weights", path=BACKBONE, **research),
        ModelFile(PACK, "insightface/models/pack", "1 MB", url=f"{hub.url}/mine/pack.zip", **about, **research),
        ModelFile(
            YUNET, "face_detection", "1 MB", "MIT", instead_of=PACK, repository="some/detector", path="sub/there.onnx"
        ),
    ]


@pytest.fixture
def comfyui(tmp_path) -> Path:
    """A ComfyUI without models."""
    folder = tmp_path / "Comfy UI"
    (folder / "models").mkdir(parents=True)
    (folder / "main.py").touch()
    return folder


@pytest.fixture
def get(comfyui, table, capsys):
    """Run the command line; returns exit code and what was printed."""

    def run(*arguments: str, table: list[ModelFile] = table) -> tuple[int, str]:
        code = get_models.main(["--comfyui", str(comfyui), *arguments], table)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out + printed.err

    return run


def found(comfyui: Path) -> dict[str, bytes]:
    """All files in the models folder and beside it."""
    files = (path for path in comfyui.parent.rglob("*") if path.is_file() and path.name != "main.py")
    return {Path(os.path.relpath(path, comfyui / "models")).as_posix(): path.read_bytes() for path in files}


ALL = {
    f"uniportrait/{FACEID}": content(FACEID),
    f"uniportrait/{BACKBONE}": content(BACKBONE),
    "insightface/models/pack/det.onnx": DETECTOR,
    "insightface/models/pack/other.onnx": OTHER,
}
FREE = {f"uniportrait/{FACEID}": content(FACEID), f"face_detection/{YUNET}": content(YUNET, 5000)}


def test_every_file_comes_into_its_folder(get, comfyui, table):
    code, said = get()
    assert code == 0 and "3 of 3 files are there" in said
    assert found(comfyui) == ALL
    for file in table[:3]:
        assert said.index(f"licence: {file.licence}") < said.index(f"{file.name}: is in {comfyui / 'models'}")


def test_only_what_every_use_is_allowed_of(get, comfyui):
    code, said = get("--licence-free")
    assert code == 0
    assert found(comfyui) == FREE
    assert "Left out" in said and said.count("nothing at all") == 2


def test_only_the_files_that_are_named(get, comfyui):
    assert get("--only", FACEID, "--only", YUNET)[0] == 0
    assert found(comfyui) == FREE
    code, said = get("--only", BACKBONE, "--licence-free")
    assert code == 2 and "Nothing is left" in said


def test_a_list_asks_nobody_and_writes_nothing(get, comfyui, hub):
    code, said = get("--list")
    assert code == 0 and f"uniportrait/{FACEID}" in said and "research" in said
    assert not hub.asked and not found(comfyui)


def test_a_broken_connection_goes_on_where_it_was(get, comfyui, hub):
    hub.files[f"some/weights/{FACEID}"].cuts = [100_000]
    assert get("--only", FACEID)[0] == 0
    assert found(comfyui)[f"uniportrait/{FACEID}"] == content(FACEID)
    (first, second) = hub.gets()
    assert first is None and 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 100_000


def test_a_later_call_goes_on_where_the_first_one_stopped(get, comfyui, hub):
    hub.files[f"some/weights/{FACEID}"].cuts = [100_000] + [0] * 20
    code, said = get("--only", FACEID)
    assert code == 1 and "connection broke" in said and "kept" in said
    ((part, begun),) = found(comfyui).items()
    assert part.startswith(f"uniportrait/{FACEID}.") and part.endswith(".part")
    assert begun and begun == content(FACEID)[: len(begun)]

    hub.files[f"some/weights/{FACEID}"].cuts.clear()
    hub.asked.clear()
    assert get("--only", FACEID)[0] == 0
    assert hub.gets() == [f"bytes={len(begun)}-"]
    assert found(comfyui) == {f"uniportrait/{FACEID}": content(FACEID)}


def test_the_rest_of_another_version_is_not_added(get, comfyui, hub):
    stored = hub.files[f"some/weights/{FACEID}"]
    stored.cuts = [100_000] + [0] * 20
    assert get("--only", FACEID)[0] == 1
    stored.cuts.clear()
    stored.body = content("another version")
    assert get("--only", FACEID)[0] == 0
    assert found(comfyui) == {f"uniportrait/{FACEID}": content("another version")}


def test_a_file_of_the_commit_that_was_asked_for_is_read(get, hub):
    get("--only", FACEID)
    assert [path for method, path, _ in hub.asked if method == "GET"][0].split("/")[4] == COMMIT


@pytest.mark.parametrize("path", [f"some/weights/{FACEID}", "some/detector/sub/there.onnx", "mine/pack.zip"])
def test_content_with_another_hash_is_thrown_away(get, comfyui, hub, path):
    stored = hub.files[path]
    stored.digest = (stored.git if stored.small else stored.sha256)[::-1]
    stored.body = stored.body[:-1] + bytes([stored.body[-1] ^ 1])
    code, said = get("--only", {FACEID: FACEID, "there.onnx": YUNET, "pack.zip": PACK}[path.split("/")[-1]])
    assert code == 1 and "its hash is" in said and "thrown away" in said
    assert not found(comfyui)


@pytest.mark.parametrize("size", [299_999, 300_001])
def test_content_of_another_size_is_thrown_away(get, comfyui, hub, size):
    hub.files[f"some/weights/{FACEID}"].size = size
    code, said = get("--only", FACEID)
    assert code == 1 and "has not the size that was announced" in said and "force_download" not in said
    assert not found(comfyui)


def test_what_is_there_and_right_stays(get, comfyui, hub):
    get()
    hub.asked.clear()
    before = {path: path.stat().st_mtime_ns for path in comfyui.rglob("*")}
    code, said = get()
    assert code == 0 and said.count("is there already, and right") == 3
    assert not [path for method, path, _ in hub.asked if method == "GET"]
    assert {path: path.stat().st_mtime_ns for path in comfyui.rglob("*")} == before


@pytest.mark.parametrize("wrong", [b"cut off", content("same size")])
@pytest.mark.parametrize("place", [f"uniportrait/{FACEID}", "insightface/models/pack/other.onnx"])
def test_what_is_there_and_wrong_is_told_and_stays(get, comfyui, place, wrong):
    file = comfyui / "models" / place
    file.parent.mkdir(parents=True)
    file.write_bytes(wrong)
    code, said = get()
    assert code == 1 and f"{file} is there, but is not the published file" in said and "2 of 3" in said
    assert file.read_bytes() == wrong
    assert get("--overwrite")[0] == 0
    assert found(comfyui) == ALL


def test_what_is_there_and_wrong_stays_until_all_has_come(get, comfyui, hub):
    file = comfyui / "models" / "uniportrait" / FACEID
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another file")
    hub.files[f"some/weights/{FACEID}"].cuts = [1000] + [0] * 20
    assert get("--only", FACEID, "--overwrite")[0] == 1
    assert file.read_bytes() == b"another file"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "HF_TOKEN"), (403, "Log in at https://huggingface.co/some/weights"), (404, "Nothing is at"), (503, "later")],
)
def test_what_the_server_refuses_is_told(get, comfyui, hub, status, advice):
    hub.files[f"some/weights/{FACEID}"].status = status
    code, said = get()
    assert code == 1 and advice in said and f"status {status}" in said
    assert f"2 of 3 files are there; not: {FACEID}" in said  # the others come nevertheless
    assert f"uniportrait/{FACEID}" not in found(comfyui)


def test_a_server_that_is_away(get, comfyui, monkeypatch, table):
    with fake_hub() as gone:
        pass
    ask_at(gone.url, monkeypatch)
    code, said = get(table=[table[0], replace(table[2], url=f"{gone.url}/pack.zip")])
    assert code == 1 and said.count("cannot be reached") == 2 and "Look at the network" in said
    assert not found(comfyui)


def test_a_server_that_is_no_hub(get, hub):
    hub.files[f"some/weights/{FACEID}"].commit = None
    code, said = get("--only", FACEID)
    assert code == 1 and "not as a Hugging Face hub does" in said


def test_a_full_disk(get, comfyui, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10_000))
        code, said = get("--only", FACEID)
        assert code == 1 and "Make room" in said and not found(comfyui)

    def write(_source, file, *_):
        file.write(b"some of it")
        file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("model_files.transfer._read", write)
    code, said = get("--only", FACEID)
    assert code == 1 and "No space left" in said and "Make room" in said
    assert list(found(comfyui).values()) == [b"some of it"]


def test_a_folder_that_cannot_be_made(get, comfyui):
    (comfyui / "models" / "uniportrait").touch()
    code, said = get("--only", FACEID)
    assert code == 1 and "could not be written" in said


# Archives


def evil(name: str) -> bytes:
    """An archive with the expected files, and one of this name."""
    return zipped({**MEMBERS, name: b"evil"})


def damaged() -> bytes:
    start = ARCHIVE.index(b"det.onnx") + 30
    return ARCHIVE[:start] + bytes(50) + ARCHIVE[start + 50 :]


def twice() -> bytes:
    return zipped({**MEMBERS, "sub/det.onnx": b"another"})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (evil("../evil.onnx"), "leads out of the folder"),
        (evil("sub/../../../evil.onnx"), "leads out of the folder"),
        (evil("..\\evil.onnx"), "leads out of the folder"),
        (evil("/tmp/evil.onnx"), "leads out of the folder"),
        (evil("C:\\evil.onnx"), "leads out of the folder"),
        (zipped({**MEMBERS}, mode=stat.S_IFLNK | 0o777), "is a link"),
        (twice(), "is in it twice"),
        (zipped({**MEMBERS, "bomb.onnx": bytes(20_000)}), "would have 20,000 bytes"),
        (zipped({"other.onnx": OTHER}), "has no det.onnx"),
        (zipped({**MEMBERS, "det.onnx": OTHER}), "its hash is"),
        (damaged(), "is damaged"),
        (b"no archive", "is damaged"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "zip",
)
def test_an_archive_that_is_not_what_it_should_be(get, comfyui, hub, table, monkeypatch, body, problem):
    monkeypatch.setattr(archive, "LARGEST", 10_000)
    hub.files["mine/pack.zip"] = Stored(body)
    said_right = replace(table[2], size=len(body), sha256=hashlib.sha256(body).hexdigest())
    code, said = get(table=[said_right])
    assert code == 1 and problem in said
    assert not found(comfyui)


def test_an_archive_with_a_folder_in_it(get, comfyui, hub, table):
    body = zipped({f"pack/{name}": content for name, content in MEMBERS.items()})
    hub.files["mine/pack.zip"] = Stored(body)
    assert get(table=[replace(table[2], size=len(body), sha256=hashlib.sha256(body).hexdigest())])[0] == 0
    assert set(found(comfyui)) == {"insightface/models/pack/det.onnx", "insightface/models/pack/other.onnx"}


def test_the_one_file_that_the_pack_reads_is_enough(get, comfyui, hub):
    folder = comfyui / "models" / "insightface" / "models" / "pack"
    folder.mkdir(parents=True)
    (folder / "det.onnx").write_bytes(DETECTOR)
    assert get("--only", PACK)[0] == 0
    assert not hub.asked


# The command line


def test_a_folder_that_is_no_comfyui(tmp_path, comfyui, table, capsys):
    for folder in (tmp_path, comfyui / "models", tmp_path / "nowhere"):
        assert get_models.main(["--comfyui", str(folder)], table) == 2
        assert "is no folder of ComfyUI" in capsys.readouterr().err
    get_models.main(["--comfyui", str(tmp_path)], table)
    assert f"Did you mean {comfyui}?" in capsys.readouterr().err


def test_a_models_folder_elsewhere(tmp_path, table, capsys):
    elsewhere = tmp_path / "weights"
    assert get_models.main(["--models", str(elsewhere)], table) == 2
    assert "is no folder" in capsys.readouterr().err
    elsewhere.mkdir()
    assert get_models.main(["--models", str(elsewhere), "--only", FACEID], table) == 0
    assert (elsewhere / "uniportrait" / FACEID).read_bytes() == content(FACEID)


def test_without_the_library_of_the_hub(get, hub, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, said = get()
    assert code == 2 and f'"{sys.executable}" -m pip install huggingface_hub' in said
    assert not hub.asked


def test_an_unknown_name(get):
    with pytest.raises(SystemExit) as end:
        get("--only", "something.bin")
    assert end.value.code == 2


def test_as_a_program_with_a_token_and_another_endpoint(comfyui):
    """The token goes to the hub, and not to the server that the hub leads to."""
    file = read_table()[0]
    with fake_hub() as hub:
        hub.files[f"{file.repository}/{file.path}"] = Stored(b"faceid")
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_mine", "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, ROOT / "get_models.py", "--comfyui", comfyui, "--only", file.name]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=comfyui)
    assert run.returncode == 0, run.stderr
    assert found(comfyui) == {f"{file.folder}/{file.name}": b"faceid"}
    authorized = {path.split("/")[1]: headers.get("authorization") for _, path, headers in hub.asked}
    assert authorized["Junjie96"] == "Bearer hf_mine" and authorized["cdn"] is None


# The table


@pytest.mark.parametrize("file", read_table(), ids=lambda file: file.name)
def test_the_readme_has_every_file(file):
    rows = [row for row in (ROOT / "README.md").read_text("utf-8").splitlines() if f"({file.address})" in row]
    assert rows, f"{file.address} is in no table of the README"
    assert f"`{file.folder}`" in rows[0]
    assert file.licence in rows[0]
    assert ("research only" in file.licence) == file.research_only == bool(file.without)


def test_every_file_of_the_workflows_is_there():
    addresses = {(file.name, file.folder, file.address) for file in read_table()}
    for path in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(path.read_text("utf-8"))["nodes"]:
            for model in node["properties"].get("models", []):
                assert (model["name"], model["directory"], model["url"]) in addresses


def test_what_is_left_out_of_the_published_files():
    files, left_out = choose(read_table(), licence_free=True)
    assert [file.name for file in left_out] == ["glint360k_curricular_face_r101_backbone.bin", "buffalo_l"]
    assert "face_detection_yunet_2023mar.onnx" in [file.name for file in files]
    assert "face_detection_yunet_2023mar.onnx" not in [file.name for file in choose(read_table())[0]]


def test_what_no_hub_vouches_for_has_a_hash():
    for file in read_table():
        assert file.address.startswith("https://")
        assert file.repository or (file.size and len(file.sha256) == 64)
        assert all(len(digest) == 64 for digest in file.members.values())
        assert not file.members or file.needed in file.members
