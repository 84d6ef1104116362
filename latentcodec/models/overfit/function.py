"""The fitted function in floating point: synthesis of latents, and the rate of its grids, for the fit.

    bands = mixing * symbols * step size, the finest ones + prediction
    latents = inverse wavelet(bands) + mean;  + a small nonlinear refinement

Files are never coded with the rate of this module: `integer_context` does that with the same parameters in integers.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentcodec.coding.fixedpoint import ACTIVATION_BITS
from latentcodec.models.blocks.information import INFORMATION
from latentcodec.models.overfit.context import (
    QUARTERS,
    RATE_SHIFT,
    Above,
    Descent,
    Known,
    Region,
    features,
    known,
    regions,
)
from latentcodec.models.overfit.parameters import DECLARATIONS, LIMIT, Parameters, shapes
from latentcodec.models.overfit.prediction import predict, predicted_norms, unpredict
from latentcodec.models.overfit.presets import BANDS, FEATURES, LEVELS, STEPS, Layout, low_sizes
from latentcodec.models.overfit.wavelet import analyse, join, synthesise

LOG_LARGEST_STEP = 4.0
LOG_STEP_RANGE = 7.0
RATE_STEPS = 255
INITIAL_SLOPE = 2.0  # of the position, per unit of the rate's activation


def step_size(rate: Tensor) -> Tensor:
    """Quantisation step at rate 0..1, in units of the latents' deviation: 16 down to 1/8."""
    return torch.exp2(LOG_LARGEST_STEP - LOG_STEP_RANGE * rate)


class FittedFunction(nn.Module):
    """Parameters as floats, for latents [B, C, h, w]; grids are lists of [B, bands, C, h', w'], fine to coarse."""

    hidden1: Tensor
    hidden2: Tensor
    step_bias: Tensor
    level_bias: Tensor
    band_bias: Tensor
    hidden2_bias: Tensor
    out: Tensor
    direct: Tensor
    offset: Tensor
    mixing: Tensor
    mean: Tensor
    prediction: Tensor
    refine1: Tensor
    refine2: Tensor
    refine1_bias: Tensor
    refine2_bias: Tensor
    lifted: Tensor  # [C, 1, 1], as the wavelet takes it

    def __init__(self, layout: Layout, parameters: Parameters):
        super().__init__()
        self.layout = layout
        self.information = INFORMATION[layout.first_table]  # of symbols at positions in the list of tables
        lifted = torch.ones(layout.channels, 1, 1)
        lifted[list(layout.split)] = 0
        self.register_buffer("lifted", lifted)
        for declared in DECLARATIONS:
            value = torch.from_numpy(parameters[declared.name].astype(np.float32)) / (1 << declared.bits)
            self.register_parameter(declared.name, nn.Parameter(value))

    @torch.no_grad()
    def load(self, parameters: Parameters) -> None:
        """Take over the integers of a file."""
        for declared in DECLARATIONS:
            value = torch.from_numpy(parameters[declared.name].astype(np.float32)) / (1 << declared.bits)
            getattr(self, declared.name).copy_(value)

    @torch.no_grad()
    def integers(self) -> dict[str, np.ndarray]:
        """Parameters as a file would have them, int16."""
        values = {d.name: getattr(self, d.name) * (1 << d.bits) for d in DECLARATIONS}
        return {name: v.round().clamp(-LIMIT, LIMIT).to(torch.int16).numpy() for name, v in values.items()}

    @property
    def split(self) -> list[int]:
        """Components that are not lifted."""
        return [component for component, lifted in enumerate(self.lifted.flatten().tolist()) if not lifted]

    def steps(self, rate: Tensor) -> list[Tensor]:
        """Step sizes [B, 1, C, 1, 1] of every level.

        Basis functions of a wavelet's coarse bands are wide: a floor keeps their symbols within the tables.
        """
        step = step_size(rate)[:, None, None, None, None]
        floors = [2 ** min(level + 1, LEVELS) / self.layout.steps_per_unit for level in range(LEVELS + 1)]
        return [torch.maximum(step, floor * self.lifted) for floor in floors]

    def analyse(self, latents: Tensor, rate: Tensor) -> list[Tensor]:
        """Latents -> real-valued grids that represent them exactly but for the refinement."""
        low = latents - self.mean[:, None, None]
        bands: list[Tensor] = []
        for level in range(LEVELS):
            size = low.shape[-2], low.shape[-1]
            low, details = analyse(low, self.lifted)
            if level == 0 and self.layout.predicts:
                details = unpredict(low, details, self.prediction, size)
            bands.append(details)
        bands.append(low[:, None])
        inverses = [torch.linalg.inv(self.mixing[level, : b.shape[1]]) for level, b in enumerate(bands)]
        parts = zip(inverses, bands, self.steps(rate), strict=True)
        return [torch.einsum("nic,bnchw->bnihw", inverse, band) / step for inverse, band, step in parts]

    def synthesise(self, grids: list[Tensor], rate: Tensor, size: tuple[int, int]) -> Tensor:
        """Grids -> latents of `size` (height, width)."""
        bands = [
            torch.einsum("nic,bnchw->bnihw", self.mixing[level, : grid.shape[1]], grid * step)
            for level, (grid, step) in enumerate(zip(grids, self.steps(rate), strict=True))
        ]
        low, sizes = bands[LEVELS][:, 0], low_sizes(*size)
        for level in reversed(range(LEVELS)):
            height, width = sizes[level]
            details = bands[level]
            if level == 0 and self.layout.predicts:
                details = predict(low, details, self.prediction, size)
            low = synthesise(low, details, self.lifted)[:, :, :height, :width]
        latents = low + self.mean[:, None, None]
        refined = F.relu(F.conv2d(latents, self.refine1, self.refine1_bias, padding=1))
        return latents + F.conv2d(refined, self.refine2[:, :, None, None], self.refine2_bias)

    @torch.no_grad()
    def norms(self, size: tuple[int, int]) -> list[Tensor]:
        """Squared norm of what every band's basis functions add to latents of `size`, [bands, C, h, w].

        About one, but up to four in corners, where the border reflects a wavelet's basis functions, and less in what
        pads odd sides; times what their predictions add. Refinement, and predictions of predictions, left out.
        """
        low, details = predicted_norms(self.prediction)
        rows, columns = ([_norms_along(length, lifted) for lifted in (0.0, 1.0)] for length in size)
        result = []
        for level in range(LEVELS + 1):
            kinds = ((0, 1), (1, 0), (1, 1)) if level < LEVELS else ((0, 0),)
            where = min(level, LEVELS - 1)
            split, wavelet = (
                torch.stack([down[where][a][:, None] * right[where][b] for a, b in kinds]).to(self.lifted.device)
                for down, right in zip(rows, columns, strict=True)
            )
            by_channel = torch.where(self.lifted > 0, wavelet[:, None], split[:, None])  # [bands, C, h, w]
            if self.layout.predicts:
                by_channel = by_channel * (1 + (details if level == 0 else low)[..., None, None])
            mixed = self.mixing[level, : len(kinds)].square()
            result.append(torch.einsum("nic,nihw->nchw", mixed, by_channel))
        return result

    def bits(self, symbols: list[Tensor], magnitudes: list[Tensor], rate: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Information of the grids under the context network, all pictures together, and every symbol's position in
        the list of tables. `magnitudes`: those of the symbols, as the context sees them."""
        total = symbols[0].new_zeros(())
        positions: list[Tensor] = []
        descent, above = Descent(self.layout.channels, self.split, logarithm, _bordered), None
        for level in reversed(range(LEVELS + 1)):
            flat, bordered = symbols[level].flatten(1, 2), _bordered(magnitudes[level].flatten(1, 2))
            position = self._level_positions(level, bordered, above, rate)
            total = total + self.information(flat, position).sum()
            positions.insert(0, position.detach().view_as(symbols[level]))
            if level:
                height, width = magnitudes[level - 1].shape[-2:]
                above = descent.above_next(magnitudes[level], (height, width))
        return total, positions

    def _level_positions(self, level: int, bordered: Tensor, above: Above | None, rate: Tensor) -> Tensor:
        """[B, K, h, w]"""
        batch, count, height, width = (n - 2 * (axis > 1) for axis, n in enumerate(bordered.shape))
        result, seen_before = bordered.new_empty(batch, count, height, width), torch.zeros_like(bordered)
        for step in range(STEPS):
            parts = [region for region in regions(step) if result[region.index].numel()]
            if not parts:  # a single row or column has no odd phase
                continue
            seen = known(seen_before, self.layout.channels, logarithm)
            for region in parts:
                result[region.index] = self._position(level, step, region, seen, above, rate)
            if step < STEPS - 1:
                seen_before = bordered * _known_after(step, result).to(bordered.device)
        return result

    def _position(
        self, level: int, step: int, region: Region, seen: Known, above: Above | None, rate: Tensor
    ) -> Tensor:
        given = features(seen, above, region, logarithm)
        shape = given[0].shape
        constant = (rate * RATE_STEPS / (1 << (ACTIVATION_BITS - RATE_SHIFT)))[:, None, None, None].expand(shape)
        columns = [torch.zeros_like(constant) if f is None else f.expand(shape) for f in (*given, constant)]
        assert len(columns) == FEATURES
        stacked = torch.stack(columns, -1)  # [B, channels, h, w, FEATURES]
        bias = self.step_bias[step] + self.level_bias[level]
        bands = BANDS if level < LEVELS else 1
        if bands > 1:
            channels = self.layout.channels
            numbers = [k // channels for k in range(region.quarter, BANDS * channels, QUARTERS)]
            bias = (bias + self.band_bias[numbers])[:, None, None, :]
        number = step % len(self.out)  # of the network: there may be one for all steps
        hidden = F.relu(F.linear(stacked, self.hidden1[number]) + bias)
        hidden = F.relu(hidden + F.linear(hidden, self.hidden2[number], self.hidden2_bias))
        offset = self.offset[level, :bands].reshape(-1)[region.quarter :: QUARTERS, None, None]
        return hidden @ self.out[number] + stacked @ self.direct[number] + offset


def _norms_along(length: int, lifted: float) -> list[tuple[Tensor, Tensor]]:
    """Squared norms, along one direction, of the low and the high basis functions of every level."""
    sizes, result = [size for size, _ in low_sizes(length, 1)], []
    for level in range(LEVELS):
        unit = torch.eye(sizes[level + 1])
        parts = []
        for low, high in ((unit, torch.zeros_like(unit)), (torch.zeros_like(unit), unit)):
            rows = low
            for finer in reversed(range(level + 1)):
                detail = high if finer == level else torch.zeros_like(rows)
                rows = join(rows, detail, -1, torch.tensor(lifted))[:, : sizes[finer]]
            parts.append(rows.square().sum(1))
        result.append((parts[0], parts[1]))
    return result


def _known_after(step: int, grid: Tensor) -> Tensor:
    """[K, h + 2, w + 2]: one where a symbol was coded in a step up to this one."""
    mask = torch.zeros(grid.shape[1:])
    for earlier in range(step + 1):
        for region in regions(earlier):
            mask[region.index] = 1
    return _bordered(mask)


def logarithm(x: Tensor) -> Tensor:
    """log2(x + 1), linear between powers of two, as the integer context computes it."""
    after = x + 1
    exponent = torch.frexp(after.detach())[1] - 1
    return exponent - 1 + torch.ldexp(after, -exponent)


def _bordered(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1))


def initial(layout: Layout, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters before any training: identity mixing, 9/7 wavelet, a context network of small random weights."""
    random = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {name: np.zeros(shape) for name, shape in shapes(layout).items()}
    values["hidden1"] = random.normal(0, 0.3, values["hidden1"].shape)
    values["step_bias"] = random.normal(0, 0.1, values["step_bias"].shape)
    values["hidden2"] = random.normal(0, 0.2, values["hidden2"].shape)
    values["out"] = random.normal(0, 0.2, values["out"].shape)
    values["direct"][:, -1] = INITIAL_SLOPE
    values["mixing"] += np.eye(layout.channels)
    values["refine1"] = random.normal(0, 1 / np.sqrt(9 * layout.channels), values["refine1"].shape)
    return {d.name: np.round(values[d.name] * (1 << d.bits)).astype(np.int16) for d in DECLARATIONS}
