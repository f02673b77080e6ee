"""The tokenizer: CLIP's, on the few words of the world's captions, each a token of its own."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from ..world.captions import vocabulary

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"
FAST = "tokenizer.json"
WORDS = "words.txt"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-'!?:;"


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files, where there are none: numbers of words are learned by heart, and have to stay.

    Words that captions do not have are read letter by letter.
    """
    if (folder / FAST).is_file():
        return
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    merges = _merges([[*word[:-1], f"{word[-1]}</w>"] for text in vocabulary() for word in re.findall(r"\w+|,", text)])
    entries = [*dict.fromkeys([*pieces, *("".join(pair) for pair in merges)]), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_of_ids = {piece: index for index, piece in enumerate(entries)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary_of_ids, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n", "utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "do_lower_case": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
    special = {key: settings[key] for key in ("bos_token", "eos_token", "unk_token", "pad_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2), "utf-8")
    (folder / WORDS).write_text(" ".join(vocabulary()) + "\n", "utf-8")  # what the pack tells users that prompts know
    load_tokenizer(folder).backend_tokenizer.save(str(folder / FAST))


def _merges(words: list[list[str]]) -> list[tuple[str, str]]:
    """Byte pair encoding (Sennrich et al. 2016) until every word is one piece.

    The trainer of `tokenizers` breaks ties by chance, and no two runs would number words alike.

    Args:
        words: each in pieces.
    """
    merges = []
    while counts := Counter(pair for word in words for pair in pairwise(word)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        words = [_merged(word, best) for word in words]
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for piece in word:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return found


def load_tokenizer(folder: Path) -> "CLIPTokenizer":
    from transformers import CLIPTokenizer  # slow to import, and not needed by processes that draw

    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def tokens(folder: Path, captions: list[str]) -> np.ndarray:
    """Ids, (captions, 77), int16."""
    tokenizer = Tokenizer.from_file(str(folder / FAST))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=tokenizer.token_to_id(END), pad_token=END)
    return np.array([found.ids for found in tokenizer.encode_batch(captions)], np.int16)
