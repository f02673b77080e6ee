"""Shards on the device that trains, read while others are still being drawn."""

import time
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


class Store:
    """All that is there of one kind of data, growing until it is complete."""

    def __init__(self, folder: Path, shards: int, device: torch.device, keys: tuple[str, ...], first: int = 2):
        """
        Args:
            folder: of the shards.
            shards: how many there will be.
            device: where the data goes.
            keys: which arrays are wanted; the first is counted.
            first: shards to wait for.
        """
        self._folder, self._shards, self._device, self._keys = folder, shards, device, keys
        self._known: set[str] = set()
        self._tensors: dict[str, Tensor] = {}
        self.ready = 0
        while len(self._known) < min(first, shards):
            if not self.refresh():
                time.sleep(0.2)

    @property
    def complete(self) -> bool:
        return len(self._known) == self._shards

    def refresh(self, most: int = 1) -> int:
        """Read up to `most` new shards; returns how many."""
        if self.complete:
            return 0
        # A folder may hold more, of an earlier run with more pictures.
        there = sorted(self._folder.glob("*.safetensors"))[: self._shards]
        new = [file for file in there if file.name not in self._known][:most]
        for file in new:
            with safe_open(file, "pt") as tensors:
                self._append({key: tensors.get_tensor(key) for key in self._keys})
            self._known.add(file.name)
        return len(new)

    def wait(self) -> "Store":
        """Read all shards, as they come."""
        while not self.complete:
            if not self.refresh(most=self._shards):
                time.sleep(0.2)
        return self

    def __getitem__(self, key: str) -> Tensor:
        """All that is there, (ready, …)."""
        return self._tensors[key][: self.ready]

    def draw(self, batch: int) -> Tensor:
        """Numbers of pictures by chance, (batch,)."""
        return torch.randint(self.ready, (batch,), device=self._device)

    def _append(self, arrays: dict[str, Tensor]) -> None:
        count = len(arrays[self._keys[0]])
        for key, value in arrays.items():
            if key not in self._tensors:  # room for all at once; no shard is larger than the first that is full
                room = count * self._shards
                self._tensors[key] = torch.empty((room, *value.shape[1:]), dtype=value.dtype, device=self._device)
            if len(self._tensors[key]) < self.ready + count:
                more = torch.empty_like(self._tensors[key])
                self._tensors[key] = torch.cat((self._tensors[key], more))
            self._tensors[key][self.ready : self.ready + count] = value.to(self._device)
        self.ready += count
