"""Configurations as they stand in the metadata of weights files."""

import math
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args

T = TypeVar("T")
LARGEST = 1 << 20  # of any number of channels, blocks or positions


def with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the dataclasses have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def checked(config: T) -> T:
    """The configuration, if its values are of the kinds that its defaults are of. Raises TypeError."""
    for field in fields(config):  # type: ignore[arg-type]
        value, default = getattr(config, field.name), getattr(type(config)(), field.name)
        if Ellipsis in get_args(field.type) and isinstance(value, tuple):
            default = default[:1] * max(len(value), 1)  # any number of values
        if not _is_like(value, default):
            raise TypeError(f"{field.name} is {value!r:.40}")
    return config


def _is_like(value: object, default: object) -> bool:
    if isinstance(default, tuple):
        alike = isinstance(value, tuple) and len(value) == len(default)
        return alike and all(map(_is_like, value, default))  # type: ignore[call-overload]
    if is_dataclass(value):
        return value is checked(value)
    if isinstance(default, float):
        return isinstance(value, int | float) and type(value) is not bool and 0 < value < math.inf
    if type(default) is int:
        return type(value) is int and 0 <= value <= LARGEST
    return default is None or type(value) is type(default)
