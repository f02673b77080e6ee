"""The texts of the nodes as the host has them, against those that the translations are of.

After a change of a name, a description or a tooltip:

    UNIPORTRAIT_UPDATE_TEXTS=1 python dev.py test --host newest -- -k test_languages

writes the English texts anew, and takes what they no longer fit out of `locales/`. `tests/core/test_locales.py` then
names, language by language, what there is to translate.
"""

from __future__ import annotations

import os

import pytest

from translations import ENGLISH, LANGUAGES, LOCALES, Texts, flat, read, without, write

pytestmark = pytest.mark.heart

UPDATE = os.environ.get("UNIPORTRAIT_UPDATE_TEXTS") == "1"


def texts_of_nodes(pack) -> Texts:
    """What the host's nodes say, in the layout of `nodeDefs.json`."""
    import nodes

    mine = {
        node_id: node
        for node_id, node in nodes.NODE_CLASS_MAPPINGS.items()
        if node.__module__.startswith(f"{pack.__name__}.")
    }
    return {node_id: texts_of(node) for node_id, node in mine.items()}


def texts_of(node) -> Texts:
    schema, groups = node.GET_SCHEMA(), node.INPUT_TYPES()
    inputs = {**groups.get("required", {}), **groups.get("optional", {})}
    texts = {
        "inputs": {name: {"name": name, "tooltip": settings["tooltip"]} for name, (_, settings) in inputs.items()},
        "outputs": {
            str(slot): {"name": output.display_name, "tooltip": output.tooltip}
            for slot, output in enumerate(schema.outputs)
        },
    }
    kept = {kind: about for kind, about in texts.items() if about}
    return {"display_name": schema.display_name, "description": schema.description, **kept}


def test_the_translations_are_of_what_the_nodes_say(pack):
    now = texts_of_nodes(pack)
    before, after = dict(flat(read(ENGLISH))), dict(flat(now))
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if UPDATE:
        write(ENGLISH, now)
        for language in LANGUAGES:
            path = LOCALES / language / "nodeDefs.json"
            write(path, without(read(path), set(changed)))
        return
    assert not changed, "These texts are not those that were translated (see the head of this file): " + "; ".join(
        f"{key} is {after.get(key)!r}, was {before.get(key)!r}" for key in changed
    )


def test_the_host_reads_the_translations(pack, base):
    """Its manager merges the files of all packs into one tree per language."""
    from app.custom_node_manager import CustomNodeManager

    (base / "custom_nodes").mkdir(exist_ok=True)
    link = base / "custom_nodes" / "UniPortrait-languages"
    link.symlink_to(LOCALES.parent, target_is_directory=True)
    try:
        merged = CustomNodeManager().build_translations()
    finally:
        link.unlink()
        CustomNodeManager.build_translations.cache_clear()
    assert set(LANGUAGES) <= set(merged)
    for language in LANGUAGES:
        mine = {path.stem: read(path) for path in (LOCALES / language).iterdir()}
        main = mine.pop("main")
        for file, texts in mine.items():
            assert dict(flat(merged[language][file])) == dict(flat(texts)), file
        assert dict(flat(main)).items() <= dict(flat(merged[language])).items()
