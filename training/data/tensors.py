"""What dataclasses hold in tensors, at any depth."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")


def parts(value: object) -> list[Tensor | None]:
    """All tensors, in order, and None where there is none; other things are left out."""
    if is_dataclass(value):
        return [part for field in fields(value) for part in parts(getattr(value, field.name))]
    return [value] if value is None or isinstance(value, Tensor) else []


def changed(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """The same with a function applied to every tensor."""
    if is_dataclass(value):
        return replace(value, **{field.name: changed(getattr(value, field.name), change) for field in fields(value)})
    return change(value) if isinstance(value, Tensor) else value
