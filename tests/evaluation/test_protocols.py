"""Protocols: which pictures there are, in which order, with which prompts and seeds."""

from itertools import combinations
from pathlib import Path

import pytest

import benchmark
from evaluation.generate.workflow import read_workflow
from evaluation.protocol.prompts import read_prompts
from evaluation.protocol.protocol import read_protocol
from uniportrait_core.errors import UniPortraitError

PROTOCOLS = Path(__file__).parents[2] / "evaluation" / "protocols"
CELEBA = sorted((181, 268, 612, 667, 1, 1603, 1854, 2088, 2464, 2782, 2880, 2929, 2937, 3785, 4153))
KINDS = ("accessory", "style", "action", "context")


@pytest.fixture
def celeba(tmp_path):
    """A folder with files called like CelebA's, and protocols that extend the published ones by it."""
    (tmp_path / "celeba").mkdir()
    for number in CELEBA:
        (tmp_path / "celeba" / f"{number:06d}.jpg").write_bytes(b"")

    def read(name: str):
        file = tmp_path / f"{name}.toml"
        file.write_text(f'extends = "{(PROTOCOLS / name).as_posix()}.toml"\n[references]\nfolder = "celeba"\n')
        return read_protocol(file)[0]

    return read


def test_one_person_is_2400_pictures(celeba):
    tasks = celeba("one_person").tasks()
    assert len(tasks) == 2400 == 15 * 40 * 4 == len({task.stem for task in tasks})
    assert [task.people[0].name for task in tasks[::160]] == [f"{number:06d}" for number in CELEBA]
    assert [(t.case, t.prompt_number, t.instance) for t in tasks] == [
        (case, prompt, instance) for case in range(15) for prompt in range(40) for instance in range(4)
    ]
    assert tasks[0].stem == "subject_0000_prompt_0000_instance_0000"
    assert tasks[-1].stem == "subject_0014_prompt_0039_instance_0003"
    assert [task.kind for task in tasks[:160:4]] == [kind for kind in KINDS for _ in range(10)]
    assert len({task.prompt for task in tasks}) == 80, "40 prompts for men, 40 for women"
    assert all("man" in task.prompt and "{" not in task.prompt for task in tasks)


def test_two_people_are_105_pairs_of_21_prompts(celeba):
    tasks = celeba("two_people").tasks()
    assert len(tasks) == 105 * 21 * 4
    pairs = list(dict.fromkeys(tuple(person.name for person in task.people) for task in tasks))
    assert pairs == list(combinations([f"{number:06d}" for number in CELEBA], 2))
    kinds = [task.kind for task in tasks[:84:4]]
    assert kinds == ["style"] * 7 + ["action"] * 8 + ["context"] * 6, "as FastComposer's 21 prompts are"
    assert "a man and a man" in tasks[0].prompt and "a man and a woman" in tasks[2 * 84].prompt


def test_three_people(celeba):
    tasks = celeba("three_people").tasks()
    assert len(tasks) == 15 * 21 * 4 and {len(task.people) for task in tasks} == {3}
    assert "a man, a man and a man" in tasks[0].prompt


@pytest.mark.parametrize("size", ["one_person", "two_people"])
@pytest.mark.parametrize("method", ["uniportrait", "plain"])
def test_methods_that_are_here(celeba, tmp_path, method, size):
    """The same pictures as the benchmark's, and a workflow whose places are there."""
    assert [task.stem for task in celeba(f"{method}_{size}").tasks()] == [task.stem for task in celeba(size).tasks()]
    protocol, settings = read_protocol(tmp_path / f"{method}_{size}.toml")
    workflow = read_workflow(settings.table("workflow"), len(protocol.groups[0]))
    nodes = workflow.fill([["a.png"]] * len(workflow.photos), "words", 5)
    inputs = [(node["class_type"], name, value) for node in nodes.values() for name, value in node["inputs"].items()]
    assert ("KSampler", "seed", 5) in inputs and ("KSampler", "steps", 20) in inputs
    assert ("CLIPTextEncode", "text", "words") in inputs and ("EmptyLatentImage", "width", 512) in inputs
    people = sum(value == "a.png" for _, _, value in inputs)
    assert people == (0 if method == "plain" else len(protocol.groups[0]))


def test_the_list_is_the_same_every_time_and_grows_at_its_end(celeba, tmp_path):
    tasks = celeba("one_person").tasks()
    assert tasks == celeba("one_person").tasks()
    assert len({task.seed for task in tasks}) == 2400
    turned = read_protocol(benchmark.write_protocol(tmp_path / "turned", {"bert": 1, "anna": 1}))[0]
    assert [person.name for (person,) in turned.groups] == ["anna", "bert"]
    few, more = (
        read_protocol(benchmark.write_protocol(tmp_path / str(count), {"anna": 1, "bert": 1}, pictures=count))[0]
        for count in (2, 3)
    )
    assert (few.tasks()[0].seed, few.tasks()[-1].seed) == (3845556097, 2074908996), (
        "seeds belong to every table that was made"
    )
    seeds = {task.stem: task.seed for task in more.tasks()}
    assert {task.stem: task.seed for task in few.tasks()}.items() <= seeds.items()


def test_a_prompt_list(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("plain words\n\n# style\n  a {person}, a {people}\n#action\nlast\n", "utf-8")
    prompts = read_prompts(file, 1)
    assert [(prompt.text, prompt.kind) for prompt in prompts] == [
        ("plain words", "all"),
        ("a {person}, a {people}", "style"),
        ("last", "action"),
    ]
    assert prompts[1].of(["woman"]) == "a woman, a a woman"
    file.write_text("# style\na {person}", "utf-8-sig")
    assert [(prompt.text, prompt.kind) for prompt in read_prompts(file, 1)] == [("a {person}", "style")]


@pytest.mark.parametrize(
    ("prompts", "size", "said"),
    [
        ("", 1, "no prompt"),
        ("# style\n", 1, "no prompt"),
        ("a {persn}", 1, r"line 1 .* has \{persn\}"),
        ("a {person}\n# style\n a {person} ", 1, "line 3 of .* is a prompt that was there before"),
        ("a {person}", 2, r"has \{person\}, which nothing fills in pictures of 2"),
    ],
)
def test_prompt_lists_that_are_wrong(tmp_path, prompts, size, said):
    file = tmp_path / "prompts.txt"
    file.write_text(prompts)
    with pytest.raises(UniPortraitError, match=said):
        read_prompts(file, size)


def test_people_are_found_by_name_by_folder_and_by_themselves(tmp_path):
    for name in ("a.jpg", "b/2.png", "b/1.jpg", "c.webp", "notes.txt", "D.E.JPG", "J. R. Smith/one.Png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"")
    (tmp_path / "prompts.txt").write_text("x")
    file = tmp_path / "p.toml"
    file.write_text('prompts = "prompts.txt"\n[references]\nfolder = "photos"\n')
    protocol, _ = read_protocol(file)
    found = {person.name: [photo.name for photo in person.photos] for (person,) in protocol.groups}
    smith = {"D.E": ["D.E.JPG"], "J. R. Smith": ["one.Png"]}
    assert found == {"a": ["a.jpg"], "b": ["1.jpg", "2.png"], "c": ["c.webp"], **smith}
    assert protocol.name == "p" and protocol.groups[0][0].noun == "person"
    file.write_text('prompts = "prompts.txt"\nphotos_per_person = 1\n[references]\nfolder = "photos"\n')
    assert {len(person.photos) for (person,) in read_protocol(file)[0].groups} == {1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('photos = ["Photo', 'fotos = ["Photo'), None),  # the workflow is read by `generate`, not here
        (("pictures_per_prompt = 2", "pictures_per_prompt = 0"), "needed is 1 or more"),
        (("pictures_per_prompt = 2", 'pictures_per_prompt = "two"'), "is 'two', needed is a whole number"),
        (("pictures_per_prompt = 2", "pictures_per_promt = 2"), "`pictures_per_promt` in .* is not known"),
        (("people_per_picture = 1", "people_per_picture = 3"), "2 people for pictures of 3"),
        (("people_per_picture = 1", 'people_per_picture = 2\ngroups = [["anna", "eve"]]'), "is not 2 of the people"),
        (("people_per_picture = 1", "people_per_picture = 1\ngroups = []"), "`groups` is empty"),
        (("people_per_picture = 1", "people_per_picture = 1\ngroups = [1]"), "The group 1 is not 1 of the people"),
        (("people_per_picture = 1", "people_per_picture = 1\ngroups = [[1]]"), r"The group \[1\] is not 1 of"),
        (("people_per_picture = 1", 'people_per_picture = 2\ngroups = [["anna", "anna"]]'), "is not 2 of the people"),
        (('folder = "photos"', 'folder = "nowhere"'), "nowhere is not a folder"),
        (('name = "bert"', 'name = "anna"'), "two people called anna"),
        (("bert0.png", "bert9.png"), "bert9.png was not found, a photo of bert"),
        (('prompts = "prompts.txt"', ""), "has no `prompts`"),
        (('prompts = "prompts.txt"', 'prompts = "no.txt"'), "no.txt cannot be read"),
        (("[references]", 'extends = "protocol.toml"\n[references]'), "extends itself"),
        (("[references]", "[references"), "is not TOML"),
    ],
)
def test_protocols_that_are_wrong(tmp_path, change, said):
    file = benchmark.write_protocol(tmp_path, {"anna": 1, "bert": 1})
    file.write_text(file.read_text().replace(*change))
    if said is None:
        read_protocol(file)
        return
    with pytest.raises(UniPortraitError, match=said):
        read_protocol(file)
