"""The translations in `locales/` against the English texts of the nodes, without a host.

After a change of a node's texts `tests/host/test_languages.py` fails first, and says how to go on.
"""

from __future__ import annotations

import re

import pytest

from translations import ENGLISH, LANGUAGES, LOCALES, flat, node_texts, read, setting_texts

FILES = {"main.json", "nodeDefs.json", "commands.json", "settings.json"}  # what ComfyUI reads
TEXTS = dict(flat(read(ENGLISH)))
SETTINGS = {f"{file}: {key}": text for file, texts in setting_texts().items() for key, text in flat(texts)}
TITLES = {node: texts["display_name"] for node, texts in read(ENGLISH).items()}
# By language, what each text has to have a letter of; words of English give away what is not translated elsewhere.
SCRIPTS = {"ja": "[ぁ-ヿ一-鿿]", "ko": "[가-힣]", "ru": "[а-яё]", "zh": "[一-鿿]", "zh-TW": "[一-鿿]"}
ENGLISH_WORDS = re.compile(r"\b(the|and|with|which|whose|from|of the|what)\b", re.IGNORECASE)
# Names of things, the same in every language.
NAMES = {"CLIP", "CLIP Vision", "Face ID", "Face ID 1", "Face ID 2", "Face ID 3", "Face ID 4", "Face ID A", "Face ID B",
         "IP-Adapter", "UniPortrait", "VAE"}  # fmt: skip
# Labels that are as short as in English because the language has taken the word, or spells it alike.
LOANS = {
    "de": {"Backend", "Guidance", "Latent", "Prompt", "Prompts", "Router", "Routing"},
    "es": {"detector", "prompt", "prompts"},
    "fr": {"image", "latent", "prompt", "prompts", "scores", "style"},
    "pt-BR": {"detector", "prompt", "prompts"},
    "zh": {"Latent"},
    "zh-TW": {"Latent"},
}
LITERAL = re.compile(r"[\w.-]*[_/][\w./-]*\w")  # names of files and folders
SOCKETS = {key.split(".")[2] for key in TEXTS if ".inputs." in key} | {
    text for key, text in TEXTS.items() if ".outputs." in key and key.endswith(".name")
}


def texts_of(language: str) -> dict[str, str]:
    return dict(flat(node_texts(language)))


def settings_of(language: str) -> dict[str, str]:
    files = {file: read(LOCALES / language / file) for file in setting_texts()}
    return {f"{file}: {key}": text for file, texts in files.items() for key, text in flat(texts)}


def numbers(text: str) -> set[str]:
    return {number.replace(",", ".") for number in re.findall(r"\d+(?:[.,]\d+)?", text)}


def test_the_languages_are_those_that_are_checked():
    assert sorted(path.name for path in LOCALES.iterdir()) == sorted(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_host_reads_every_file(language):
    """It looks for these names only, and leaves out what does not parse, with a line in its log."""
    names = {path.name for path in (LOCALES / language).iterdir()}
    assert names <= FILES
    for name in names:
        assert all(isinstance(text, str) and text.strip() for _, text in flat(read(LOCALES / language / name))), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_missing_or_left_over(language):
    there = texts_of(language)
    missing, left_over = sorted(TEXTS.keys() - there.keys()), sorted(there.keys() - TEXTS.keys())
    file = f"locales/{language}/nodeDefs.json"
    assert not missing, f"{file} lacks: " + "; ".join(f'{key}, in English "{TEXTS[key]}"' for key in missing)
    assert not left_over, f"{file} has texts of what no node has: {', '.join(left_over)}"


def test_there_are_settings():
    assert "settings.json: UniPortrait_LiveRouting.tooltip" in SETTINGS


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_setting_is_missing_or_left_over(language):
    assert settings_of(language).keys() == SETTINGS.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_in_english(language):
    for key, text in (texts_of(language) | settings_of(language)).items():
        if text in NAMES | LOANS.get(language, set()):
            continue
        assert text != (TEXTS | SETTINGS)[key], f"{language}: {key} is the English text"
        if language in SCRIPTS:
            assert re.search(SCRIPTS[language], text, re.IGNORECASE), f"{language}: {key} is {text!r}"
        else:
            assert not ENGLISH_WORDS.search(text), f"{language}: {key} has English words: {text!r}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_and_names_of_files_are_kept(language):
    for key, text in texts_of(language).items():
        lost = numbers(TEXTS[key]) - numbers(text)
        lost |= {name for name in LITERAL.findall(TEXTS[key]) if name not in text} - SOCKETS - {"batch_index"}
        assert not lost or key.endswith(".name"), f"{language}: {key} lacks {', '.join(sorted(lost))}: {text!r}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nodes_are_called_by_their_translated_names(language):
    """Where an English text names a node, its translation names it as the language does; in all texts alike."""
    translated = node_texts(language)
    assert len({texts["display_name"] for texts in translated.values()}) == len(TITLES)
    for key, text in (texts_of(language) | settings_of(language)).items():
        english = (TEXTS | SETTINGS)[key]
        for node, title in sorted(TITLES.items(), key=lambda item: -len(item[1])):
            if title in english and not key.endswith("display_name"):
                english = english.replace(title, "")
                name = translated[node]["display_name"]
                assert name in text, f"{language}: {key} names {title}, which is {name}: {text!r}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_front_end_shows_the_texts_as_they_are(language):
    """vue-i18n takes these characters for instructions, and a dot in a key for a step down."""
    for key, text in (texts_of(language) | settings_of(language)).items():
        assert not re.search(r"[{}@|]", text), f"{language}: {key} has a character with a meaning: {text!r}"
    assert all("." not in key for texts in node_texts(language).values() for key in texts.get("inputs", {}))
