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
    base, total = codec.h_s(dump["z_hat"]), torch.zeros_like(dump["y"])
    for step in range(STEPS):
        means, scales = codec.parameters_of_step(step, base)
        yield f"means of step {step}", relative(means, dump[f"means{step}"])
        yield f"scales of step {step}", relative(scales, dump[f"scales{step}"])
        mask = torch.from_numpy(step_mask(step, *means.shape[1:])).float()
        symbols = ((dump["y"] - means) * mask).round()
        wrong = int((symbols != dump[f"symbols{step}"]).sum())
        yield f"symbols of step {step} that differ, share", wrong / float(mask.sum())
        decoded = codec.corrected(step, (symbols + means) * mask, base, mask)
        base = base * (1 - mask) + decoded
        total = total + decoded
    yield "y^", relative(total, dump["y_hat"])
    features = codec.g_s(dump["y_hat"])
    yield "features F", relative(features, dump["F"])
    yield "residual latent", relative(codec.aux(dump["y_hat"]), dump["res"])
    diffusion = model.config.stable_diffusion
    noise = model.unet(dump["F"], diffusion.timestep, encoder_hidden_states=dump["prompt"]).sample
    yield "x_0", relative(one_step_x0(dump["F"][:, :4], noise, model.config.alpha_bar), dump["x0"])


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
