"""Autoencoders for the overfitted codec: by name, or from a folder, behind one face.

A folder holds either a published pair of TAESD files (`*encoder*`, `*decoder*`, .pth or .safetensors) or a model that
diffusers saved (AutoencoderKL, AutoencoderTiny; needs the package diffusers). A name is a row of AUTOENCODERS.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentcodec.errors import InputError, WeightsError
from latentcodec.models.autoencoder import STRIDE, MiniVAE
from latentcodec.models.blocks.shipping import float_tensors
from latentcodec.models.diffusion.packages import diffusers
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.models.tiny_autoencoder import STRIDE as TINY_STRIDE
from latentcodec.models.tiny_autoencoder import TinyAutoencoder
from latentcodec.weights import hashing, store

if TYPE_CHECKING:
    from torch import nn

MINI = "mini"
TAEF2 = "taef2"
SD_TURBO = "sd-turbo"
MINI_PREFIX = "vae."
WEIGHT_FILES = (".safetensors", ".pth")
CONFIG, CLASS = "config.json", "_class_name"  # of diffusers, which loads these
WHOLE, SHARDS = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors"
LARGEST_CHANNELS = 64
LARGEST_STRIDE = 64


@dataclass(frozen=True)
class Autoencoder:
    """`encode`: pixels [B, 3, H, W] in 0..1, H and W multiples of `stride` -> latents [B, C, H / stride, W / stride];
    `decode`: the inverse, not clamped. `local`: no layer looks at the whole picture, so that tiles can be decoded."""

    network: "nn.Module"
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    channels: int
    stride: int
    local: bool = False


def load_autoencoder(source: str, device: torch.device) -> Autoencoder:
    """The autoencoder called `source`, or that in the folder `source`. Raises WeightsError, InputError."""
    loaded = _load(source, device)
    if loaded.channels > LARGEST_CHANNELS or loaded.stride > LARGEST_STRIDE:
        sizes = f"{loaded.channels} channels and a stride of {loaded.stride}"
        raise InputError(f"{source} has {sizes}; {LARGEST_CHANNELS} and {LARGEST_STRIDE} are the most")
    if source not in (MINI, TAEF2, SD_TURBO):
        _try_out(loaded, source, device)
    return loaded


@torch.inference_mode()
def _try_out(loaded: Autoencoder, source: str, device: torch.device) -> None:
    """Raises WeightsError where what is in somebody's folder does not do what an autoencoder does."""
    side = 2 * loaded.stride
    try:
        latents = loaded.encode(torch.full((1, 3, side, side), 0.5, device=device))
        pixels = loaded.decode(latents)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise WeightsError(f"{source}: no autoencoder of pictures: {_first_line(error)}") from error
    if latents.shape != (1, loaded.channels, 2, 2) or pixels.shape != (1, 3, side, side):
        shapes = f"latents {list(latents.shape)} and pixels {list(pixels.shape)}"
        raise WeightsError(f"{source}: no autoencoder of pictures: it makes {shapes} of a picture of {side}x{side}")
    if not (latents.isfinite().all() and pixels.isfinite().all()):
        raise WeightsError(f"{source}: what the autoencoder makes of a grey picture is not finite")


def _load(source: str, device: torch.device) -> Autoencoder:
    if source == MINI:
        return _mini(device)
    if source == TAEF2:
        parts = (store.load(f"{TAEF2}-encoder").tensors, store.load(f"{TAEF2}-decoder").tensors)
        return _tiny(*parts, device)
    if source == SD_TURBO:
        return _stable_diffusion(store.load_one_by_one(f"{SD_TURBO}-vae"), device)
    folder = _folder(source)
    if (folder / CONFIG).exists():
        return _from_diffusers(folder, device)
    encoder, decoder = _pair(folder)
    return _tiny(store.read_weights(encoder).tensors, store.read_weights(decoder).tensors, device)


def folder_sha256(source: str) -> str:
    """SHA-256 of the SHA-256 of all that is loaded from the folder. Normative: formats/overfit.md."""
    folder = _folder(source)
    if (folder / CONFIG).exists():
        whole = folder / WHOLE
        files = [whole] if whole.exists() else sorted(folder.glob(SHARDS))
        hashes = [_described_sha256(folder), *map(hashing.sha256_of, files)]
    else:
        hashes = [hashing.sha256_of(path) for path in _pair(folder)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _described_sha256(folder: Path) -> str:
    """Of what config.json says of the model, not of who wrote it."""
    config = {name: value for name, value in _config(folder).items() if not name.startswith("_") or name == CLASS}
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _config(folder: Path) -> dict[str, Any]:
    """Raises InputError."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        config[CLASS]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{folder}: config.json is no JSON object that names a class") from error
    return dict(config)


def _folder(source: str) -> Path:
    folder = Path(source)
    if not folder.is_dir():
        on_a_hub = source.count("/") == 1 and not source.startswith(("/", "."))
        hint = "; what lies on a hub has to be downloaded first" if on_a_hub else ""
        raise InputError(f"no autoencoder called {source!r}, nor a folder; there is {MINI}, {TAEF2}, {SD_TURBO}{hint}")
    return folder


def _mini(device: torch.device) -> Autoencoder:
    weights = store.load("stablecodec-mini")
    config = StableCodecConfig.from_json(weights.metadata.get("config", "")).autoencoder
    model = MiniVAE(config)
    tensors = float_tensors(weights.tensors)
    model.load_state_dict({k.removeprefix(MINI_PREFIX): v for k, v in tensors.items() if k.startswith(MINI_PREFIX)})
    model = _ready(model, device)
    return Autoencoder(model, model.encode, model.decode, config.latent_channels, STRIDE, local=True)


def _stable_diffusion(tensors: Mapping[str, Tensor], device: torch.device) -> Autoencoder:
    from latentcodec.models.diffusion.stable_diffusion import load_autoencoder as load

    model = _ready(load(tensors), device)
    return Autoencoder(model, model.encode, model.decode, model.latent_channels, model.stride)


def _tiny(encoder: dict[str, Tensor], decoder: dict[str, Tensor], device: torch.device) -> Autoencoder:
    try:
        model = _ready(TinyAutoencoder.from_state(encoder, decoder), device)
    except (RuntimeError, KeyError, IndexError) as error:
        raise WeightsError(f"not the tensors of a TAESD pair: {_first_line(error)}") from error
    return Autoencoder(model, model.encode, model.decode, model.latent_channels, TINY_STRIDE, local=not model.pooled)


def _pair(folder: Path) -> tuple[Path, Path]:
    files = [path for path in sorted(folder.iterdir()) if path.suffix in WEIGHT_FILES]
    decoders = [path for path in files if "decoder" in path.name]
    encoders = [path for path in files if "encoder" in path.name and path not in decoders]
    for part, found in (("encoder", encoders), ("decoder", decoders)):
        if len(found) != 1:
            there = ", ".join(path.name for path in found) or "none"
            raise InputError(f"{folder}: no config.json of diffusers, and of a TAESD {part} not one file but {there}")
    return encoders[0], decoders[0]


def _from_diffusers(folder: Path, device: torch.device) -> Autoencoder:
    kind = _config(folder)[CLASS]
    if kind not in ("AutoencoderKL", "AutoencoderTiny"):
        raise InputError(f"{folder}: an autoencoder of class {kind!r}; there is AutoencoderKL and AutoencoderTiny")
    try:
        model = _loaded(kind, folder)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise WeightsError(f"{folder}: {_first_line(error)}") from error
    model = _ready(model, device)
    channels = int(model.config.latent_channels)
    stride = 1 << (
        len(model.config.block_out_channels if kind == "AutoencoderKL" else model.config.num_decoder_blocks) - 1
    )
    # AutoencoderKL takes pixels in -1..1; AutoencoderTiny scales them itself, likewise from -1..1.
    posterior = kind == "AutoencoderKL"

    def encode(pixels: Tensor) -> Tensor:
        output: Any = model.encode(2 * pixels - 1)
        latents: Tensor = output.latent_dist.mode() if posterior else output.latents
        return latents

    def decode(latents: Tensor) -> Tensor:
        pixels: Tensor = model.decode(latents).sample
        return (pixels + 1) / 2

    return Autoencoder(model, encode, decode, channels, stride)


def _loaded(kind: str, folder: Path) -> Any:
    """The model of this class of diffusers, which warns of what it lacks, where this raises ValueError."""
    package = diffusers()
    logging, options = package.utils.logging, {"local_files_only": True, "use_safetensors": True}
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        model, told = getattr(package, kind).from_pretrained(
            folder, low_cpu_mem_usage=False, output_loading_info=True, **options
        )
    finally:
        logging.set_verbosity(before)
    for what, names in told.items():
        if names:
            raise ValueError(f"{what.replace('_', ' ')}: {next(iter(names))!s:.80}")
    return model


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _ready(model: Any, device: torch.device) -> Any:
    return model.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
