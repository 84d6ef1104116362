"""What every fit starts from: the fitted function's parameters, learned over many photographs.

Every step draws a preset and a rate, represents the latents of a batch by grids, rounded with regard to rate, and
improves the parameters. Transform and statistics are shared by all presets.

At first symbols follow a fixed rule. Chosen for least cost, as files have them, they would bias a young network: a band
that it thinks little of would be empty, and it would think less of it. From CHOSEN_FROM on it sees them as in files.

What is minimised is the logarithm of error and bits together: a high rate has a hundred times the bits of a low one,
and should not count for more.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from latentcodec.coding.tables import LOGISTIC
from latentcodec.errors import InputError
from latentcodec.models.overfit.adaptation import SPEEDS
from latentcodec.models.overfit.fit import FIRST_SHARE, Fit, thrifty
from latentcodec.models.overfit.function import FittedFunction, initial
from latentcodec.models.overfit.prediction import neighbours, unpredict
from latentcodec.models.overfit.presets import BANDS, LEVELS, PRESETS, Layout, Preset
from latentcodec.models.overfit.reference import SHARED
from latentcodec.models.overfit.wavelet import analyse
from latentcodec.models.stablecodec.config import StableCodecConfig
from latentcodec.pipelines.autoencoders import load_autoencoder
from latentcodec.train.data import to_unit
from latentcodec.train.loop import autocast
from latentcodec.train.stages import Stage

CALIBRATION_BATCHES = 8
SHAPE = LOGISTIC  # of the tables: context networks know the scale of a symbol only roughly
FINEST_STEPS = 80  # per unit: symbols of photographs reach 160 of 255
CHOSEN_FROM = 0.7  # of the steps
PRESET_SHARES = (0.2, 0.2, 0.2, 0.4)
QUANTISATION_ERROR = 0.15  # of latents that predict others, squared
RIDGE = 1e-3
WORTH_LIFTING = 0.13  # correlation of neighbours from which a component is better off with a wavelet


def trained_layout(preset: Preset, channels: int) -> Layout:
    """Of references as they are trained now; which components are split is not known yet."""
    return Layout(preset, channels, first_table=SHAPE, predicts=True, steps_per_unit=FINEST_STEPS)


class OverfitTask:
    """One fitted function per preset, for the latents of one autoencoder, which stays as it is."""

    capturable = False

    def __init__(self, stage: Stage, device: torch.device, config: StableCodecConfig | None = None):
        self.config = ""
        self._device = device
        self._chosen_from = CHOSEN_FROM * stage.steps
        self._autoencoder = load_autoencoder(stage.autoencoder, device)
        layouts = [trained_layout(preset, self._autoencoder.channels) for preset in PRESETS]
        self.model = nn.ModuleDict({lay.preset.name: FittedFunction(lay, initial(lay)) for lay in layouts})
        first = self._function(0)
        for number in range(1, len(PRESETS)):
            for name in SHARED:
                setattr(self._function(number), name, getattr(first, name))
        self.speeds = {f"{preset.name}.{name}": speed for preset in PRESETS for name, speed in SPEEDS.items()}
        self._random = np.random.default_rng(0)

    def _function(self, number: int) -> FittedFunction:
        function = self.model[PRESETS[number].name]
        assert isinstance(function, FittedFunction)
        return function

    def is_foreign(self, name: str) -> bool:
        return False

    @torch.no_grad()
    def start_from(self, weights: dict[str, Tensor] | None, batches: Iterator[Tensor]) -> None:
        """No weights: prediction starts as a regression, mixing as the Karhunen-Loeve transform of what that leaves, in
        lifted components and in others."""
        if weights is not None:
            raise InputError("this stage starts from nothing")
        latents = torch.cat([self._latents(next(batches)) for _ in range(CALIBRATION_BATCHES)])
        function = self._function(0)
        function.mean.copy_(latents.mean((0, 2, 3)))
        low = latents - function.mean[:, None, None]
        lifted = (_correlation(low) >= WORTH_LIFTING)[:, None, None]
        for number in range(len(PRESETS)):
            self._function(number).lifted.copy_(lifted)
        for level in range(LEVELS):
            size = low.shape[-2], low.shape[-1]
            low, details = analyse(low, function.lifted)
            if level == 0:
                function.prediction.copy_(regression(low, details))
                details = unpredict(low, details, function.prediction, size)
            for band in range(details.shape[1]):
                function.mixing[level, band] = _principal(details[:, band], function.lifted)
        function.mixing[LEVELS] = _principal(low, function.lifted)

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        latents = self._latents(batch)
        function = self._function(int(self._random.choice(len(PRESETS), p=PRESET_SHARES)))
        _normalise(function.mixing)
        rate = torch.rand(1, device=self._device).expand(len(batch))
        if step < self._chosen_from:
            with torch.no_grad():
                targets = function.analyse(latents, rate)
            fit = Fit(function, latents, rate, [thrifty(target) for target in targets], targets)
        else:
            fit = _chosen(function, latents, rate)
        total, error, bits = fit.objective(fit.symbols, [symbols.abs() for symbols in fit.symbols])
        pixels = batch.shape[0] * batch.shape[2] * batch.shape[3]
        return total.log(), {
            "cost": total.detach() / latents.numel(),
            "latent_mse": error.detach().mean(),
            "bpp": bits.detach() / pixels,
        }

    @torch.no_grad()
    def _latents(self, batch: Tensor) -> Tensor:
        with autocast(self._device):
            return self._autoencoder.encode(to_unit(batch, self._device)).float()


def _chosen(function: FittedFunction, latents: Tensor, rate: Tensor) -> Fit:
    """A fit with the symbols of its first rounds."""
    fit = Fit.begin(function, latents, rate)
    fit.differentiate()
    fit.choose(FIRST_SHARE)
    function.requires_grad_(requires_grad=True)
    return fit


@torch.no_grad()
def _normalise(mixing: Tensor) -> None:
    """[..., C, C]: give basis functions, the columns, a norm of one, in place.

    A larger basis function is a larger quantisation step, and at high rates steps are best all the same.
    """
    mixing.div_(mixing.norm(dim=-2, keepdim=True))


def _correlation(x: Tensor) -> Tensor:
    """[B, C, h, w] of mean 0 -> [C], of neighbours along rows."""
    products = (x[..., 1:] * x[..., :-1]).mean((0, 2, 3))
    return products / x.square().mean((0, 2, 3))


def regression(low: Tensor, details: Tensor) -> Tensor:
    """Low band [B, C, h, w] and details [B, 3, C, h, w] -> matrices that predict the latter best, from decoded ones."""
    low, seen = (part + QUANTISATION_ERROR**0.5 * torch.randn_like(part) for part in (low, details))
    matrices = []
    for band in range(BANDS):
        inputs = torch.cat(neighbours(low, seen[:, 0], seen[:, 1], band), 1).transpose(0, 1).flatten(1)
        outputs = details[:, band].transpose(0, 1).flatten(1)
        gram = inputs @ inputs.T / inputs.shape[1]
        found = torch.linalg.solve(gram + RIDGE * torch.eye(len(gram), device=gram.device), inputs @ outputs.T)
        matrices.append((found / inputs.shape[1]).reshape(-1, *low.shape[1:2] * 2).transpose(1, 2))
    return torch.cat(matrices)


def _principal(x: Tensor, lifted: Tensor) -> Tensor:
    """[B, C, h, w] -> orthonormal basis [C, C] that mixes lifted components, and the others, principal ones first."""
    basis = torch.zeros(x.shape[1], x.shape[1], device=x.device)
    for kind in (0, 1):
        chosen = (lifted.flatten() == kind).nonzero()[:, 0]
        if len(chosen):
            covariance = torch.cov(x[:, chosen].transpose(0, 1).flatten(1)).reshape(len(chosen), -1)
            basis[chosen[:, None], chosen] = torch.linalg.eigh(covariance)[1].flip(1)
    return basis
