"""Rules that hold for the whole pack, checked on its source and its files."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings its predecessor
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
# Floors from the ground up, and the rooms of each, likewise. A module imports from rooms before its own, its own room,
# and floors below; what is not in a room has one of its own.
FLOORS = {
    "uniportrait_core": (
        "errors", "ordinary_file", "tensor_checks", "faces", "embedding", "routing", "attention", "style", "results",
        "files",
    ),
    "host": ("models", "people", "unet", "style", "web"),
    "nodes": (),
}  # fmt: skip
# Beside the pack, with requirements of their own: they stand on the core, the mini world on training too, and the pack
# on none of them.
BESIDE = {
    "model_files": ("table", "transfer", "archive"),
    "training": ("files", "config", "data", "frozen", "model", "prepare", "run"),
    "evaluation": ("names", "settings", "protocol", "pictures", "models", "metrics", "generate", "score", "ablate"),
    "miniworld": (
        "config", "files", "weights", "reports", "world", "nets", "data", "recipes", "sampling", "numbers",
        "ship",
    ),
}  # fmt: skip
CORE, HOST_SIDE, NODES = (sorted((ROOT / floor).rglob("*.py")) for floor in FLOORS)
PACK = CORE + HOST_SIDE + NODES
TOOLS = sorted(path for package in BESIDE for path in (ROOT / package).rglob("*.py"))

HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "nodes", "server", "execution"}
SLOW_TO_IMPORT = {"insightface", "onnxruntime", "cv2", "onnx", "skimage"}
METHODS = {"define_schema", "execute", "validate_inputs", "fingerprint_inputs"}
FIRST_IDS = {"LoadUniPortrait", "FaceIDEncode", "MultiIDConditioning", "IDRouterApply"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), path.name)


def imports(tree: ast.AST) -> Iterator[str]:
    """Top-level names of absolute imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def imports_of_loading(tree: ast.Module) -> Iterator[str]:
    """Top-level names of what is imported when the module is loaded: all but what is inside functions."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def relative(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def file_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parts(path: Path) -> tuple[str, ...]:
    """Floor, room and file of a module, the room left out where it is in none."""
    return path.relative_to(ROOT).with_suffix("").parts


def imported(path: Path) -> set[tuple[str, ...]]:
    """The pack's modules that a module imports, as `parts`."""
    found = set()
    for node in relative(parse(path)):
        assert node.level <= len(parts(path)), f"{path} imports from outside the pack"
        package = parts(path)[: len(parts(path)) - node.level]
        module = (*package, *(node.module or "").split(".")) if node.module else package
        names = [module] if node.module else [(*module, alias.name) for alias in node.names]
        found.update(names)
    return found


def place(module: tuple[str, ...]) -> tuple[int, int]:
    """How high a module is: its floor, and its room."""
    buildings = FLOORS | BESIDE
    floor, rooms = list(buildings).index(module[0]), buildings[module[0]]
    return floor, rooms.index(module[1]) if module[1] in rooms else len(rooms)


@pytest.mark.parametrize("path", CORE, ids=file_name)
def test_the_core_does_not_know_the_host(path):
    assert not set(imports(parse(path))) & HOST
    assert {module[0] for module in imported(path)} <= {"uniportrait_core"}


@pytest.mark.parametrize("path", PACK + TOOLS, ids=file_name)
def test_imports_point_down(path):
    for module in imported(path):
        assert ROOT.joinpath(*module).with_suffix(".py").is_file(), f"{module} is no module"
        assert place(module) <= place(parts(path)), f"{file_name(path)} imports {'.'.join(module)} from above"


@pytest.mark.parametrize("path", PACK, ids=file_name)
def test_the_pack_does_not_know_what_is_beside_it(path):
    assert not set(imports(parse(path))) & set(BESIDE)


@pytest.mark.parametrize("path", TOOLS, ids=file_name)
def test_what_is_beside_the_pack_knows_the_core_alone(path):
    assert not set(imports(parse(path))) & (HOST | {"host"})
    assert {module[0] for module in imported(path)} <= {parts(path)[0]}


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter({parts(path): imported(path) for path in PACK + TOOLS}).prepare()


def test_the_floors_have_these_rooms():
    for floor, rooms in (FLOORS | BESIDE).items():
        found = {path.parent.name for path in (ROOT / floor).glob("*/*.py")}
        assert found == {room for room in rooms if not (ROOT / floor / f"{room}.py").is_file()}


@pytest.mark.parametrize("path", NODES, ids=file_name)
def test_a_node_file_holds_nodes_and_nothing_that_another_file_needs(path):
    names = {module[-1] for module in imported(path) if module[0] == "nodes"}
    assert path.stem == "__init__" or names <= {"sockets"}
    if path.stem not in ("__init__", "sockets"):
        assert [node for node in parse(path).body if isinstance(node, ast.ClassDef)]
        for name, node in node_classes([path]):
            assert {method.name for method in node.body if isinstance(method, ast.FunctionDef)} <= METHODS, name
            (execute,) = (method for method in node.body if getattr(method, "name", "") == "execute")
            assert execute.end_lineno - execute.body[0].lineno < 24, f"{name}.execute is long"


def test_one_concept_has_one_name():
    """No two files share a name, and none differ by an ending only, such as record and recording."""
    stems: dict[tuple[str, ...], str] = {}
    for path in PACK:
        if path.stem != "__init__":
            stem = tuple(re.sub(r"(ing|ions?|ors?|ers?|ed|es|e|s)$", "", word) for word in path.stem.split("_"))
            assert stem not in stems, f"{file_name(path)} and {stems[stem]}"
            stems[stem] = file_name(path)
    rooms = {room for floor, names in FLOORS.items() for room in names if (ROOT / floor / room).is_dir()}
    assert not rooms & {path.stem for path in PACK}


@pytest.mark.parametrize("path", PACK, ids=file_name)
def test_loading_a_module_imports_no_slow_library(path):
    assert not set(imports_of_loading(parse(path))) & SLOW_TO_IMPORT


@pytest.mark.parametrize("path", PACK, ids=file_name)
def test_imports_inside_the_pack_are_relative(path):
    """The pack's root is not on `sys.path` in the host."""
    assert "uniportrait_core" not in set(imports(parse(path)))


@pytest.mark.parametrize("path", PACK, ids=file_name)
def test_nothing_is_printed_or_evaluated(path):
    found = {call.func.id for call in calls(parse(path)) if isinstance(call.func, ast.Name)}
    assert not found & {"print", "eval", "exec"}


def test_loading_the_whole_core_imports_no_slow_library():
    modules = [".".join(parts(path)) for path in CORE if path.stem != "__init__"]
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert "uniportrait_core" in loaded
    assert not loaded & (SLOW_TO_IMPORT | HOST)


def test_requirements_are_the_dependencies_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines())
    assert [line for line in lines if line] == project["dependencies"]


# Nodes


def node_classes(files: Iterable[Path]) -> Iterator[tuple[str, ast.ClassDef]]:
    for path in files:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ClassDef) and any("ComfyNode" in ast.unparse(base) for base in node.bases):
                yield node.name, node


NODE_CLASSES = dict(node_classes(NODES))


def node_id(node: ast.ClassDef) -> str:
    """The literal after `node_id=`, as the registry's scanner reads it."""
    (value,) = (keyword.value for call in calls(node) for keyword in call.keywords if keyword.arg == "node_id")
    assert isinstance(value, ast.Constant) and isinstance(value.value, str), f"node_id={ast.unparse(value)}"
    return value.value


def test_there_are_nodes():
    assert set(NODE_CLASSES) >= FIRST_IDS


@pytest.mark.parametrize("name", NODE_CLASSES)
def test_the_registry_sees_the_node(name):
    """Its scanner wants a direct subclass of `io.ComfyNode` and a literal id."""
    node = NODE_CLASSES[name]
    assert [ast.unparse(base) for base in node.bases] == ["io.ComfyNode"]
    assert node_id(node) in FIRST_IDS or node_id(node).startswith("UniPortrait")


def test_node_ids_are_different():
    ids = [node_id(node) for node in NODE_CLASSES.values()]
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("name", NODE_CLASSES)
def test_the_host_is_told_of_the_node(name):
    lists = (node for node in ast.walk(parse(ROOT / "nodes/__init__.py")) if isinstance(node, ast.List))
    assert name in {element.id for node in lists for element in node.elts if isinstance(element, ast.Name)}


@pytest.mark.parametrize("name", NODE_CLASSES)
def test_every_input_and_output_has_a_tooltip(name):
    sockets = [
        call
        for call in calls(NODE_CLASSES[name])
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("Input", "Output")
    ]
    assert sockets
    for call in sockets:
        assert "tooltip" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


@pytest.mark.parametrize("name", NODE_CLASSES)
def test_the_node_has_a_help_page_and_is_in_the_readme(name):
    identifier = node_id(NODE_CLASSES[name])
    assert (ROOT / "web/docs" / f"{identifier}.md").read_text("utf-8").strip()
    assert identifier in (ROOT / "README.md").read_text("utf-8")


def test_only_the_v3_way_of_registering_is_used():
    """The host does not look for `comfy_entrypoint` where `NODE_CLASS_MAPPINGS` exists."""
    for path in (ROOT / "__init__.py", *PACK):
        assert "NODE_CLASS_MAPPINGS" not in path.read_text("utf-8")
