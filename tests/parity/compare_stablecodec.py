"""Compare full-scale StableCodec with what the published program computed.

    python -m tests.parity.compare_stablecodec DUMP

The published code is not part of this project. Run it on seeded random weights, or on a published checkpoint, and
leave in the folder DUMP

    codec.pkl, elic.pth                  the checkpoint as it saves it, and ELIC's state
    vae.safetensors, unet.safetensors    SD-Turbo's networks, without adapters, under diffusers' names
    dump.safetensors                     pixels 0..1, prompt, latents, aux, y, z, z_hat, y_hat, F, res, x0, image 0..1,
                                         and means0, scales0, symbols0 ... of the four steps

The table that it prints, for random weights at true size, is in docs/stablecodec.md.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from latentcodec.models.blocks.quadtree import STEPS, step_mask
from latentcodec.models.denoiser import one_step_x0
from latentcodec.models.stablecodec.full.checkpoint import convert
from latentcodec.models.stablecodec.full.codec import LatentCodec
from latentcodec.models.stablecodec.full.config import FullConfig
from latentcodec.models.stablecodec.full.load import place
from latentcodec.models.stablecodec.full.model import FullStableCodec
from latentcodec.weights import store

LARGEST_RELATIVE = 1e-4
LOWEST_PSNR = 60.0


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Root mean square of the difference, relative to that of the reference."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


@torch.inference_mode()
def differences(model: FullStableCodec, dump: dict[str, Tensor]) -> Iterator[tuple[str, float]]:
    """(what, relative difference). Each stage starts from the reference's input, so that errors do not add up."""
    latents, auxiliary = model.prepare(dump["pixels"])
    yield "VAE latents", relative(latents, dump["latents"])
    yield "auxiliary features", relative(auxiliary, dump["aux"])
    codec = model.codec
    yield "y", relative(model.analyse(dump["latents"], dump["aux"]), dump["y"])
    yield "z", relative(codec.h_a(dump["y"]), dump["z"])
    found = steps(codec, dump["y"], dump["z_hat"])
    for step in range(STEPS):
        for what in ("means", "scales"):
            yield f"{what} of step {step}", relative(found[f"{what}{step}"], dump[f"{what}{step}"])
        wrong = found[f"symbols{step}"] != dump[f"symbols{step}"]
        yield f"symbols of step {step} that differ, share", STEPS * float(wrong.float().mean())
    yield "y^", relative(found["y_hat"], dump["y_hat"])
    features = codec.g_s(dump["y_hat"])
    yield "features F", relative(features, dump["F"])
    yield "residual latent", relative(codec.aux(dump["y_hat"]), dump["res"])
    yield "x_0", relative(x0_of(model, dump["F"], dump["prompt"]), dump["x0"])


def steps(codec: LatentCodec, y: Tensor, z_hat: Tensor) -> dict[str, Tensor]:
    """From y and z^ to y^: means, scales and symbols of the four steps, under the names of a dump."""
    base, total = codec.h_s(z_hat), torch.zeros_like(y)
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        means, scales = codec.parameters_of_step(step, base)
        mask = torch.from_numpy(step_mask(step, *means.shape[1:])).float()
        symbols = ((y - means) * mask).round()
        found |= {f"means{step}": means, f"scales{step}": scales, f"symbols{step}": symbols}
        decoded = codec.corrected(step, (symbols + means) * mask, base, mask)
        base = base * (1 - mask) + decoded
        total = total + decoded
    return found | {"y_hat": total}


def x0_of(model: FullStableCodec, features: Tensor, prompt: Tensor) -> Tensor:
    """F and the text -> x_0."""
    noise = model.unet(features, model.config.stable_diffusion.timestep, encoder_hidden_states=prompt).sample
    return one_step_x0(features[:, :4], noise, model.config.alpha_bar)


@torch.inference_mode()
def psnr_of_image(model: FullStableCodec, dump: dict[str, Tensor]) -> float:
    """From y^ to pixels at once."""
    image = model.synthesise(dump["y_hat"]).clamp(0, 1)
    return -10 * math.log10(float((image - dump["image"]).square().mean()))


def main(folder: Path) -> None:
    checkpoint = torch.load(folder / "codec.pkl", map_location="cpu", weights_only=True)
    elic = torch.load(folder / "elic.pth", map_location="cpu", weights_only=True)
    dump = store.read_weights(folder / "dump.safetensors").tensors
    config = FullConfig()
    tensors = convert(checkpoint, elic, config) | {"prompt": dump["prompt"]}
    base = {name: store.read_weights(folder / f"{name}.safetensors").tensors for name in ("vae", "unet")}
    model = place(config, tensors, base["vae"], base["unet"], torch.float32)
    worst = 0.0
    for what, value in differences(model, dump):
        print(f"| {what} | {value:.1e} |", flush=True)
        worst = max(worst, value)
    psnr = psnr_of_image(model, dump)
    print(f"| image, PSNR | {psnr:.1f} dB |")
    sys.exit(worst > LARGEST_RELATIVE or psnr < LOWEST_PSNR)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
