"""Published checkpoints <-> our tensors. Strict: what is missing, left over or of another shape is named.

A checkpoint has three states: adapters of the VAE encoder, adapters of the UNet with its new first layer, and the
latent codec with its entropy bottleneck. ELIC's file gives the auxiliary encoder. The tensors of a weights file are

    codec.*, auxiliary_encoder.*, unet.conv_in.*     as they are
    bottleneck.{matrices,biases,factors}.N           density of z, either spelling of CompressAI
    bottleneck.quantiles                             of z; the second one is its median
    vae.M.{down,up}, unet.M.{down,up}                adapter of module M: matrices A and B of its low-rank change
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import torch
from torch import Tensor, nn

from latentcodec.errors import WeightsError
from latentcodec.models.diffusion.stable_diffusion import FrozenAutoencoder, build_unet, channels_last
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.density import FILTERS
from latentcodec.models.stablecodec.full.elic import ElicAnalysis

STATES = ("state_dict_codec", "state_dict_vae", "state_dict_unet")
ADAPTED_VAE = re.compile(r"encoder\..*(conv1|conv2|conv_in|conv_shortcut|conv|conv_out|to_k|to_q|to_v|to_out\.0)")
ADAPTED_UNET = re.compile(
    r"(.*\.)?(to_k|to_q|to_v|to_out\.0|conv|conv1|conv2|conv_shortcut|conv_out|proj_in|proj_out|ff\.net\.2|ff\.net\.0\.proj)"
)
ADAPTER_VAE, ADAPTER_UNET = "vae_skip", "default"
RANK_VAE, RANK_UNET, ALPHA = 16, 32, 8  # a change is ALPHA / rank times B A
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PIECE = 1 << 18  # weights that are merged at a time: what a processor's cache holds
# Rebuilt from the rest, or never used.
DERIVED = re.compile(
    r"gaussian_conditional\.(_offset|_quantized_cdf|_cdf_length|scale_table|scale_bound)"
    r"|gaussian_conditional\.(likelihood_lower_bound|lower_bound_scale)\.bound"
    r"|entropy_bottleneck\.(_offset|_quantized_cdf|_cdf_length|target|likelihood_lower_bound\.bound)"
)
OLD_SPELLING = re.compile(r"_(matrix|bias|factor)(\d)")
NEW_NAMES = {"matrix": "matrices", "bias": "biases", "factor": "factors"}


def convert(
    checkpoint: Mapping[str, Mapping[str, Tensor]], elic: Mapping[str, Tensor], config: FullConfig
) -> dict[str, Tensor]:
    """The three states of a checkpoint and ELIC's state -> tensors of a weights file. Raises WeightsError."""
    if set(checkpoint) != set(STATES):
        raise WeightsError(f"not a StableCodec checkpoint: it holds {', '.join(sorted(map(str, checkpoint)))[:80]}")
    codec = {name: value for name, value in checkpoint[STATES[0]].items() if not DERIVED.fullmatch(name)}
    found = {
        **_renamed(codec, _codec_name),
        **_renamed(checkpoint[STATES[1]], partial(_adapter_name, "vae", ADAPTER_VAE)),
        **_renamed(checkpoint[STATES[2]], partial(_adapter_name, "unet", ADAPTER_UNET)),
        **elic_tensors(elic),
    }
    # Copied, since tensors of a pickle may share memory, which files of safetensors have no way to say.
    return {name: value.clone() for name, value in check(found, config).items()}


def _renamed(state: Mapping[str, Tensor], new_name: Callable[[str], str]) -> dict[str, Tensor]:
    """With the names of a weights file. Raises WeightsError where two become the same."""
    former: dict[str, str] = {}
    for name in state:
        other = former.setdefault(new_name(name), name)
        if other != name:
            raise WeightsError(f"the checkpoint holds both {other} and {name}, which are the same tensor")
    return {new: state[name] for new, name in former.items()}


def elic_tensors(elic: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ELIC's state -> tensors of the auxiliary encoder in a weights file."""
    return {f"auxiliary_encoder.{name[4:]}": value for name, value in elic.items() if name.startswith("g_a.")}


def check(found: Mapping[str, Tensor], config: FullConfig) -> dict[str, Tensor]:
    """The tensors, if they are those of a model of these sizes. Raises WeightsError."""
    try:
        expected = expected_shapes(config)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        raise WeightsError(f"no model has these sizes: {(str(error).splitlines() or [''])[0]}") from error
    for name in expected:
        if name not in found:
            raise WeightsError(f"the checkpoint lacks {name}")
    for name, value in found.items():
        if name not in expected:
            raise WeightsError(f"the checkpoint holds {name}, which no module has")
        if value.shape != expected[name]:
            raise WeightsError(f"{name} has shape {list(value.shape)}, not {list(expected[name])}")
        if value.dtype not in FLOATS or value.layout != torch.strided or value.device.type != "cpu":
            raise WeightsError(f"{name} is no array of floating-point numbers: {value.dtype}, {value.layout}")
        if not torch.isfinite(value.float()).all():
            raise WeightsError(f"{name} holds values that are not numbers of 32 bits")
    return {name: found[name].contiguous() for name in expected}


@cache
def expected_shapes(config: FullConfig) -> dict[str, torch.Size]:
    """Names and shapes of all tensors of a weights file, but for the text."""
    with torch.device("meta"):
        modules = {"codec": LatentCodec(config), "auxiliary_encoder": ElicAnalysis(*config.elic)}
        vae, unet = FrozenAutoencoder(config.stable_diffusion).network, build_unet(config.stable_diffusion)
    shapes = {
        f"{prefix}.{name}": t.shape for prefix, module in modules.items() for name, t in module.state_dict().items()
    }
    width = config.stable_diffusion.unet_widths[0]
    shapes |= {
        "unet.conv_in.weight": torch.Size((width, config.channels, 3, 3)),
        "unet.conv_in.bias": torch.Size((width,)),
    }
    channels = config.channels // 2
    shapes["bottleneck.quantiles"] = torch.Size((channels, 1, 3))
    for number, (inputs, outputs) in enumerate(itertools.pairwise(FILTERS)):
        shapes[f"bottleneck.matrices.{number}"] = torch.Size((channels, outputs, inputs))
        shapes[f"bottleneck.biases.{number}"] = torch.Size((channels, outputs, 1))
        if number < len(FILTERS) - 2:
            shapes[f"bottleneck.factors.{number}"] = torch.Size((channels, outputs, 1))
    for prefix, network, pattern, rank in (
        ("vae", vae, ADAPTED_VAE, RANK_VAE),
        ("unet", unet, ADAPTED_UNET, RANK_UNET),
    ):
        for name, module in adapted(network, pattern):
            outputs, rest = module.weight.shape[0], module.weight.shape[1:]
            ones = (1,) * (len(rest) - 1)
            shapes[f"{prefix}.{name}.down"] = torch.Size((rank, *rest))
            shapes[f"{prefix}.{name}.up"] = torch.Size((outputs, rank, *ones))
    return shapes


def adapted(network: nn.Module, pattern: re.Pattern[str]) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    """Names and layers of a network that have an adapter."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and pattern.fullmatch(name):
            yield name, module


@torch.no_grad()
def merged(tensors: Mapping[str, Tensor], prefix: str, dtype: torch.dtype, name: str, weight: Tensor) -> Tensor:
    """A tensor of one of SD-Turbo's networks -> what the checkpoint makes of it: its own, or W + (ALPHA / rank) B A.

    The sum is made in float32, a few rows at a time, and rounded to `dtype` once.
    """
    if f"{prefix}.{name}" in tensors:
        return tensors[f"{prefix}.{name}"]
    parts = [f"{prefix}.{name.removesuffix('.weight')}.{part}" for part in ("down", "up")]
    if not name.endswith(".weight") or parts[0] not in tensors:
        return weight
    down, up = _as_matrix(tensors[parts[0]].float()), tensors[parts[1]].float().flatten(1)
    if weight.dim() < 2 or weight.flatten(1).shape != (len(up), down.shape[1]):
        raise WeightsError(f"{prefix}.{name} has shape {list(weight.shape)}, which its adapter does not fit")
    result = torch.empty_like(weight, dtype=dtype, memory_format=channels_last(weight))
    rows = max(1, PIECE // weight[0].numel())
    for start in range(0, len(weight), rows):
        some = slice(start, start + rows)
        changed = torch.addmm(_as_matrix(weight[some]).float(), up[some], down, alpha=ALPHA / len(down))
        _as_matrix(result[some]).copy_(changed)
    return result


def _as_matrix(weight: Tensor) -> Tensor:
    """[O, I] as it is, [O, I, H, W] -> [O, H * W * I], a view if the channels are last."""
    return weight.contiguous(memory_format=channels_last(weight)).movedim(1, -1).flatten(1)


def _codec_name(name: str) -> str:
    if not name.startswith("entropy_bottleneck."):
        return f"codec.{name}"
    rest = name.removeprefix("entropy_bottleneck.")
    old = OLD_SPELLING.fullmatch(rest)
    return f"bottleneck.{NEW_NAMES[old[1]]}.{old[2]}" if old else f"bottleneck.{rest}"


def _adapter_name(prefix: str, adapter: str, name: str) -> str:
    """encoder.conv_in.lora_A.vae_skip.weight -> vae.encoder.conv_in.down. Raises WeightsError."""
    match = re.fullmatch(rf"(.*)\.lora_([AB])\.{adapter}\.weight", name)
    if match is None and name.endswith((".down", ".up")):  # as it is called only here
        raise WeightsError(f"the checkpoint holds {prefix}.{name}, which no module has")
    return f"{prefix}.{match[1]}.{'down' if match[2] == 'A' else 'up'}" if match else f"{prefix}.{name}"
