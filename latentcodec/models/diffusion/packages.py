"""diffusers and transformers, imported only when something needs them."""

from importlib import import_module
from typing import Any

from latentcodec.errors import InputError


def diffusers() -> Any:
    """The package. Raises InputError."""
    return _package("diffusers")


def transformers() -> Any:
    """The package. Raises InputError."""
    return _package("transformers")


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"this needs the package {name}: pip install 'lcodec[diffusers]'") from error
