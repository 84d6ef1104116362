"""The fit: symbols and parameters for the latents of one picture, at a step size that its rate gives.

    minimise  |latents - synthesis(symbols)|^2 / step^2  +  weight * bits(symbols)

The transform is nearly orthogonal, so the distortion's second derivative is about twice the squared norm of a symbol's
basis function, and its first one tells where the best real value lies: target = symbol - gradient / (2 curvature). A
round computes this gradient, and that of the bits that other symbols cost because they see this one in their context.
Then every symbol takes the integer next to its target, the one below it, or zero, whichever costs least:

    curvature * (symbol - target)^2  +  weight * (bits(symbol) + |symbol| * context gradient)

A random part of them moves in a round, since they are chosen as if the others stood still: most at first, then fewer.
Basis functions are not quite orthogonal, so the distortion curves the more the more of them move at once: the curvature
is the squared norm times what that makes of it. Gradient descent on rounded values (straight-through) was tried in
place of this and diverges: docs/training.md.

At fine quantisation the distortion falls by 2 ln 2 / 12 = 0.1155 per bit and symbol, which is the weight.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from latentcodec.coding.symbols import BitCounter
from latentcodec.coding.tables import FIRST_CODED_TABLE, LARGEST_SYMBOL, TABLES
from latentcodec.models.overfit.adaptation import Adaptation
from latentcodec.models.overfit.function import RATE_STEPS, FittedFunction, step_size
from latentcodec.models.overfit.noise import with_noise
from latentcodec.models.overfit.parameters import (
    DECLARATIONS,
    GROUPS,
    UNCHANGED,
    Change,
    Parameters,
    best_table,
    code_differences,
    differences,
)

RATE_WEIGHT = 0.115
MEMORY = 0.6  # of earlier pulls
SETTLING = 4  # rounds after the parameters have been quantised
ROUNDING = 1 / 3
# Share of the symbols that move in a round: at first, relative to the round before, at least.
FIRST_SHARE, SHARE_DECAY, LEAST_SHARE = 0.8, 0.8, 0.15
# How much more the distortion curves if all symbols move, and that again at the lower and right border, where basis
# functions of different levels are mirrored onto each other.
COUPLING = 0.2
BELOW = 1 - 2**-13  # The logarithm of magnitudes bends at 1, 3, 7 and so on: what counts is its slope below them.
TOLERANCE = 1.01  # of what is minimised: more than that above the best so far is taken back
REPORT_EVERY = 5
SHIFTS = (2, 4, 6, 8)
CHANGE_BITS = 10  # what a group costs beside its symbols
RoundReport = Callable[[int, int, float, float], None]  # rounds done, rounds to do, estimated bits, latent MSE


@dataclass(frozen=True)
class Effort:
    """Rounds; `adapts`: whether parameters move as well (adaptation.py)."""

    rounds: int
    adapts: bool


EFFORTS = {
    1: Effort(3, adapts=False),
    2: Effort(6, adapts=False),
    3: Effort(12, adapts=False),
    4: Effort(24, adapts=False),
    5: Effort(80, adapts=True),
    6: Effort(110, adapts=True),
    7: Effort(150, adapts=True),
    8: Effort(200, adapts=True),
    9: Effort(280, adapts=True),
    10: Effort(400, adapts=True),
}


@dataclass(frozen=True)
class _Best:
    """The best round so far."""

    total: float
    symbols: list[Tensor]


@dataclass
class Fit:
    """State of a fit of latents [B, C, h, w] at rates [B] in 0..1; grids are lists of [B, bands, C, h', w'].

    `targets`: real values that the symbols stand for; `positions`: in the list of tables; `influence`: bits that others
    cost per unit of a symbol's magnitude; `norms`: squared, of basis functions times their
    step, in units of the finest step; `curvatures`: these, larger for the share of symbols that moves; after `refresh`,
    as they are.
    """

    function: FittedFunction
    latents: Tensor
    rate: Tensor
    symbols: list[Tensor]
    targets: list[Tensor]
    positions: list[Tensor] = field(default_factory=list)
    influence: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    curvatures: list[Tensor] = field(default_factory=list)
    adaptation: Adaptation | None = None

    @classmethod
    def begin(cls, function: FittedFunction, latents: Tensor, rate: Tensor) -> "Fit":
        """With the grids of the exact transform, rounded with regard to rate."""
        function.requires_grad_(requires_grad=False)
        with torch.no_grad():
            targets = function.analyse(latents, rate)
        fit = cls(function, latents, rate, [thrifty(grid) for grid in targets], targets)
        fit.refresh()
        fit.choose(share=1.0)
        return fit

    @torch.no_grad()
    def refresh(self) -> None:
        """What the present symbols cost under the context that they make, and how much they matter."""
        step = step_size(self.rate)[:, None, None, None, None]
        parts = zip(self.function.norms(self._size()), self.function.steps(self.rate), strict=True)
        # Norms below one belong to the padding of odd sizes.
        self.norms = [norm.clamp_min(1.0) * (level_step / step).square() for norm, level_step in parts]
        self.curvatures = self.norms
        self.positions = self.function.bits(self.symbols, [s.abs() for s in self.symbols], self.rate)[1]
        self.influence = [torch.zeros_like(s) for s in self.symbols]

    def objective(self, values: list[Tensor], magnitudes: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols as the synthesis and as the context see them -> what is minimised, squared error per latent, bits."""
        error = (self.function.synthesise(values, self.rate, self._size()) - self.latents).square()
        bits, self.positions = self.function.bits(self.symbols, magnitudes, self.rate)
        distortion = (error / step_size(self.rate)[:, None, None, None].square()).sum()
        return distortion + RATE_WEIGHT * bits, error.detach(), bits.detach()

    def differentiate(self, share: float = FIRST_SHARE) -> tuple[float, float, float]:
        """Targets and influence of the present symbols, of which a share is going to move; gradients of the parameters.

        -> what is minimised, mean squared error, bits.
        """
        values = [s.clone().requires_grad_() for s in self.symbols]
        magnitudes = [(BELOW * s.abs()).requires_grad_() for s in self.symbols]
        total, error, bits = self.objective(values, magnitudes)
        total.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.curvatures = [_curvature(norm, share) for norm in self.norms]
            parts = zip(self.symbols, values, self.curvatures, strict=True)
            self.targets = [s - _gradient(v) / (2 * curvature) for s, v, curvature in parts]
            self.influence = [_gradient(m) / RATE_WEIGHT for m in magnitudes]
        return total.item(), error.mean().item(), bits.item()

    @torch.no_grad()
    def choose(self, share: float, generator: torch.Generator | None = None) -> None:
        """Move a random share of the symbols to where they cost least."""
        for level, chosen in enumerate(self._cheapest(RATE_WEIGHT)):
            if share < 1:
                moving = torch.rand(chosen.shape, generator=generator).to(chosen.device) < share
                chosen = torch.where(moving, chosen, self.symbols[level])
            self.symbols[level] = chosen

    @torch.no_grad()
    def symbols_at(self, weight: float) -> list[Tensor]:
        """The present symbols, but for those that another rate weight than RATE_WEIGHT would move."""
        usual, other = self._cheapest(RATE_WEIGHT), self._cheapest(weight)
        return [torch.where(a == b, s, b) for s, a, b in zip(self.symbols, usual, other, strict=True)]

    def _cheapest(self, weight: float) -> list[Tensor]:
        """The symbols that cost least at a rate weight, each as if the others stood still."""
        parts = zip(self.targets, self.positions, self.influence, self.curvatures, strict=True)
        return [self._cheapest_of(target, position, bits, weight / curved) for target, position, bits, curved in parts]

    def _cheapest_of(self, target: Tensor, position: Tensor, influence: Tensor, weight: Tensor) -> Tensor:
        nearest = target.round().clamp(-LARGEST_SYMBOL, LARGEST_SYMBOL)
        position = position.round()  # of a whole table, as files are coded with
        candidates = torch.stack([nearest, nearest - nearest.sign(), torch.zeros_like(nearest)])
        bits = self.function.information(candidates, position) + candidates.abs() * influence
        costs = (candidates - target).square() + weight * bits
        costs = torch.where(position < FIRST_CODED_TABLE, candidates.abs(), costs)  # these can be nothing but zero
        return candidates.gather(0, costs.argmin(0, keepdim=True))[0]

    @torch.no_grad()
    def restored(self, noise: int = 0) -> Tensor:
        """The latents that the present symbols of one picture stand for, with an amount of noise (noise.py)."""
        finest, tables = (part[0] for part in (self.symbols[0], self.positions[0].round().clamp(0, TABLES - 1)))
        noisy = with_noise(finest.int().numpy(), tables.byte().numpy(), noise)
        return self.function.synthesise([torch.from_numpy(noisy)[None], *self.symbols[1:]], self.rate, self._size())

    @torch.no_grad()
    def pull(self, truth: Tensor, direction: Tensor, steps: float) -> None:
        """Aim by so many step sizes elsewhere, having forgotten a part of earlier pulls away from the true latents."""
        moved = steps * step_size(self.rate)[:, None, None, None] * direction
        self.latents = truth + MEMORY * (self.latents - truth) + moved

    @torch.no_grad()
    def restart(self, rate: Tensor) -> None:
        """Go on at another rate, with the symbols that targets call for there."""
        self.targets = [before / after * target for target, before, after in self._with_steps(self.targets, rate)]
        self.symbols, self.rate = [thrifty(target) for target in self.targets], rate
        self.refresh()
        self.choose(share=1.0)

    @torch.no_grad()
    def move(self, rate: Tensor) -> None:
        """Go on at a rate nearby, with the symbols that targets call for there or with the present ones. Rounds follow.

        Targets are right for one symbol if the others stand still: where basis functions have much in common, all of
        them at once can undo what rounds have won.
        """
        parts = self._with_steps(self.symbols, rate)
        limit = LARGEST_SYMBOL
        present = [(before / after * symbols).round().clamp(-limit, limit) for symbols, before, after in parts]
        self.restart(rate)
        called_for, at_most = self.symbols, self.total()
        self.symbols = present
        if self.total() > at_most:
            self.symbols = called_for
        self.refresh()

    def _with_steps(self, grids: list[Tensor], rate: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Each grid with its steps, now and at another rate."""
        return zip(grids, self.function.steps(self.rate), self.function.steps(rate), strict=True)

    @torch.no_grad()
    def total(self) -> float:
        """What is minimised, for the present symbols."""
        return self.objective(self.symbols, [s.abs() for s in self.symbols])[0].item()

    def run(
        self,
        first: int,
        last: int,
        effort: Effort,
        report: RoundReport = lambda step, steps, bits, error: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Rounds `first` up to `last` of `effort`."""
        if effort.adapts and self.adaptation is None:
            self.adaptation = Adaptation(self.function, RATE_WEIGHT)
        adaptation = self.adaptation if effort.adapts else None
        generator = torch.Generator().manual_seed(first)
        caution, best = 1.0, _Best(float("inf"), self.symbols)
        for number in range(first, last):
            if stopped():
                break
            share = caution * max(FIRST_SHARE * SHARE_DECAY**number, LEAST_SHARE)
            with adaptation.differentiable() if adaptation else nullcontext():
                total, error, bits = self.differentiate(share)
            if (number + 1) % REPORT_EVERY == 0 or number + 1 == last:
                report(number + 1, effort.rounds, bits, error)
            if total > TOLERANCE * best.total:  # too many moved at once: back, and with fewer
                self.symbols, caution = list(best.symbols), caution / 2
                best = _Best(float("inf"), self.symbols)  # parameters have moved too: judge again
                continue
            if total < best.total:
                best = _Best(total, list(self.symbols))
            if adaptation:
                adaptation.step(1 - number / effort.rounds)
            self.choose(share, generator=generator)
        last_total, last_symbols = self.differentiate()[0], self.symbols
        if last_total > best.total:
            self.symbols = list(best.symbols)
            if self.differentiate()[0] > last_total:  # parameters have moved since it was best
                self.symbols = last_symbols
                self.differentiate()

    @torch.no_grad()
    def quantise_parameters(self, reference: Parameters, shifts: Sequence[int] = SHIFTS) -> tuple[Change, ...]:
        """Decide for every group whether its differences from the reference are worth their bits, and how coarsely:
        as multiples of two to the power of one of the `shifts`.

        Leaves the function with the parameters that the decoder will know.
        """
        wanted = self.function.integers()
        changes = UNCHANGED
        for group in range(GROUPS):
            options = (_change(group, shift, reference, wanted) for shift in shifts)
            tried = [Change(), *(option for option in options if option is not None)]
            costs = [self._cost(_with(changes, group, option), reference, wanted) for option in tried]
            changes = _with(changes, group, tried[int(np.argmin(costs))])
        self.function.load(code_differences(BitCounter(), changes, reference, wanted))
        return changes

    def _cost(self, changes: tuple[Change, ...], reference: Parameters, wanted: Parameters) -> float:
        coder = BitCounter()
        self.function.load(code_differences(coder, changes, reference, wanted))
        return self.total() + RATE_WEIGHT * (coder.bits + CHANGE_BITS * sum(change.sent for change in changes))

    def _size(self) -> tuple[int, int]:
        return self.latents.shape[2], self.latents.shape[3]


def thrifty(target: Tensor) -> Tensor:
    """Rounding down from two thirds: about what weighing rate against distortion does, before any rate is known."""
    return (target.sign() * (target.abs() + ROUNDING).floor()).clamp(-LARGEST_SYMBOL, LARGEST_SYMBOL)


def _curvature(norm: Tensor, share: float) -> Tensor:
    """Squared norms [..., h, w] of basis functions -> those that foresee what a share of them does when it moves."""
    more = 1 + COUPLING * share
    curvature = more * norm
    curvature[..., -1, :] *= more
    curvature[..., -1] *= more
    return curvature


def unit(rate: int) -> Tensor:
    """The rate of a file, 0..255 -> [1] in 0..1."""
    return torch.tensor([rate / RATE_STEPS])


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


def _with(changes: tuple[Change, ...], group: int, change: Change) -> tuple[Change, ...]:
    return (*changes[:group], change, *changes[group + 1 :])


def _change(group: int, shift: int, reference: Parameters, wanted: Parameters) -> Change | None:
    """How to send a group's differences as multiples of 2^shift; None: they are all zero, or too large."""
    chosen = [declared for declared in DECLARATIONS if declared.group == group]
    symbols = np.concatenate([differences(declared, reference, wanted, shift) for declared in chosen])
    if not symbols.any() or int(np.abs(symbols).max()) > LARGEST_SYMBOL:
        return None
    return Change(best_table(symbols), shift)
