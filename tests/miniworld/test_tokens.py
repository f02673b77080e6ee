"""The tokenizer of the world's words."""

import pytest

from miniworld.nets.tokens import LENGTH, load_tokenizer, save_tokenizer, tokens
from miniworld.world.captions import caption, vocabulary
from miniworld.world.scene import compose


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


def test_every_word_is_one_token(folder):
    tokenizer = load_tokenizer(folder)
    for word in vocabulary():
        assert len(tokenizer(word).input_ids) == (5 if "-" in word else 3), word


def test_captions_fit_and_both_ways_to_read_them_agree(folder):
    tokenizer = load_tokenizer(folder)
    texts = [caption(compose(range(1 + number % 4), number)) for number in range(200)] + [""]
    found = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="np").input_ids
    assert found.shape == (201, LENGTH) and (tokens(folder, texts) == found).all()
    assert (found[:, -1] == tokenizer.eos_token_id).all(), "a caption is cut off"


def test_other_words_are_read_too(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.unk_token_id not in tokenizer("a zebra in a park").input_ids[1:-1]


def test_numbers_of_words_are_the_same_in_every_run_and_stay(folder, tmp_path):
    save_tokenizer(tmp_path)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name
    (tmp_path / "vocab.json").write_text("learned by heart", "utf-8")
    save_tokenizer(tmp_path)
    assert (tmp_path / "vocab.json").read_text("utf-8") == "learned by heart"


def test_the_words_that_users_are_told(folder):
    assert (folder / "words.txt").read_text("utf-8").split() == vocabulary()
