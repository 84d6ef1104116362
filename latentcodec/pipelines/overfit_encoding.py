"""The encoding of one picture with method overfit: fit, and search for the rate that fills a budget."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from latentcodec.coding.packing import Packing
from latentcodec.coding.symbols import BitCounter, SymbolEncoder
from latentcodec.models.overfit.fit import EFFORTS, RATE_WEIGHT, SETTLING, SHIFTS, Effort, Fit, unit
from latentcodec.models.overfit.function import FittedFunction
from latentcodec.models.overfit.integer_context import code_grids, digest
from latentcodec.models.overfit.parameters import UNCHANGED, Change, Parameters, code_differences
from latentcodec.models.overfit.presets import Layout
from latentcodec.pipelines.base import Encoded, OutOfReachError, PayloadBudget, Settings
from latentcodec.pipelines.both import Both
from latentcodec.pipelines.overfit_prefix import Prefix
from latentcodec.pipelines.perception import Perception
from latentcodec.pipelines.search import FULL_ENOUGH, HIGHEST_RATE, Curve, bracket
from latentcodec.rate import Quality

PACKING = Packing(19, 2)
LOG_BYTES_PER_RATE = 0.03  # how sizes usually change
CORRECTIONS = 3  # of the rate, during it
LARGEST_CORRECTION = 8
FILL_STEP = 2  # of the rate, where no weight fills the budget
# Of rate, relative to the usual one: what fills a budget, and where no rate does it with these, what has to.
WEIGHTS, LAST_WEIGHTS = (0.7, 1.45), (0.5, 2.5)
BISECTIONS = 8
PULLS = 12  # towards better perception, in one fit
NOISE_AIMED_AT = (0, 4, 8, 12)  # the file has about as much; pixels decide exactly, in the end
PULL = 0.06  # the length of one, in steps
HURRIED_SHIFTS = (4,)  # of parameters, where somebody waits for the end
LARGEST_ENOUGH = 0.97  # of the largest payload: a little depends on the rates that the fit went through
DEFAULT_EFFORT = 5
TINY = 1e-12  # of a power, for its logarithm


@dataclass
class Encoding:
    """The encoding of one picture."""

    layout: Layout
    prefix: Prefix
    reference: Parameters
    latents: Tensor
    settings: Settings
    perception: Perception | None
    noise: int = field(default=0, init=False)  # that latents aim at
    rounds_done: int = field(default=0, init=False)
    doing: str = field(default="finding the rate", init=False)

    def at_quality(self, quality: Quality) -> Encoded:
        fit, self.doing = self._begin(round(quality.value * HIGHEST_RATE / 100)), "writing"
        self._run(fit, 0, self._effort.rounds)
        return self._code(fit, self._changes(fit), RATE_WEIGHT)

    def within(self, budget: PayloadBudget) -> Encoded:
        """Find the rate without a fit, then fit and correct the rate in turns, and fill what is left by weight."""
        fit = self._begin(HIGHEST_RATE // 2)
        self._guess(fit, budget)
        rounds = self._effort.rounds
        for number in range(CORRECTIONS):
            self._run(fit, rounds * number // CORRECTIONS, rounds * (number + 1) // CORRECTIONS)
            if number < CORRECTIONS - 1:
                self._correct(fit, budget)
        changes = self._changes(fit)
        return self._fill(fit, changes, budget)

    @property
    def _effort(self) -> Effort:
        return EFFORTS[self.settings.effort or DEFAULT_EFFORT]

    def _begin(self, rate: int) -> Fit:
        return Fit.begin(FittedFunction(self.layout, self.reference), self.latents, unit(rate))

    def _run(self, fit: Fit, first: int, last: int) -> None:
        """Rounds of the fit; with perception, what it aims at moves on between them."""
        effort, stopped = self._effort, self.settings.stopped
        power = self.latents.var(correction=0).item()

        def report(step: int, steps: int, bits: float, error: float) -> None:
            self.rounds_done = step
            decibels = 10 * math.log10(max(power, TINY) / max(error, TINY))
            self.settings.report(step, steps, bits, f"latents {decibels:.1f} dB")

        if self.perception is None:
            fit.run(first, last, effort, report, stopped)
            return
        every = max(effort.rounds // PULLS, 1)
        self.noise = self._best_noise(fit, self.perception)
        for start in range(first, last, every):
            if stopped():
                break
            fit.pull(self.latents, self.perception.direction(fit.restored(self.noise), start // every), PULL)
            fit.run(start, min(start + every, last), effort, report, stopped)

    def _best_noise(self, fit: Fit, perception: Perception) -> int:
        """About how much the file will have. What noise it will be is known: latents can make use of it."""
        if not perception.sees_texture or self.settings.stopped():
            return self.noise
        return min(NOISE_AIMED_AT, key=lambda amount: perception.error(perception.decode(fit.restored(amount))))

    def _guess(self, fit: Fit, budget: PayloadBudget) -> None:
        """Move to the rate that meets the budget without a fit."""

        def evaluate(rate: int, thrift: float) -> tuple[int, None]:
            fit.restart(unit(rate))
            return len(self._code(fit, UNCHANGED, RATE_WEIGHT).payload), None

        size = evaluate(_rate(fit), 0.0)[0]
        expected = Curve(size * math.exp(-LOG_BYTES_PER_RATE * _rate(fit)), LOG_BYTES_PER_RATE)
        below, above = bracket(evaluate, budget.size_bytes, expected)
        closest = below or above
        assert closest is not None
        fit.restart(unit(closest.rate))

    def _correct(self, fit: Fit, budget: PayloadBudget) -> None:
        """Move towards the rate at which the budget would be met, if sizes change as they usually do."""
        size = len(self._code(fit, UNCHANGED, RATE_WEIGHT).payload)
        change = round(math.log(max(budget.size_bytes, 1) / size) / LOG_BYTES_PER_RATE)
        change = min(max(change, -LARGEST_CORRECTION), LARGEST_CORRECTION)
        fit.move(unit(min(max(_rate(fit) + change, 0), HIGHEST_RATE)))

    def _changes(self, fit: Fit) -> tuple[Change, ...]:
        """What the file says about the parameters; symbols then settle on what the decoder will know."""
        if not self._effort.adapts:
            return UNCHANGED
        shifts = HURRIED_SHIFTS if self.settings.stopped() else SHIFTS
        changes = fit.quantise_parameters(self.reference, shifts)
        self._settle(fit)
        return changes

    def _settle(self, fit: Fit) -> None:
        fit.run(0, SETTLING, Effort(SETTLING, adapts=False), stopped=self.settings.stopped)

    def _fill(self, fit: Fit, changes: tuple[Change, ...], budget: PayloadBudget) -> Encoded:
        """The largest payload within the budget, by the weight of rate; another rate where no weight will do."""
        tried: dict[int, tuple[Encoded, Encoded]] = {}
        weights, self.doing = LAST_WEIGHTS if self.settings.stopped() else WEIGHTS, "filling the budget"
        while True:
            found = self._bisect(fit, changes, budget, weights)
            if isinstance(found, Encoded):
                return found
            tried[_rate(fit)] = found
            step = -FILL_STEP if len(found[0].payload) > budget.size_bytes else FILL_STEP
            rate = min(max(_rate(fit) + step, 0), HIGHEST_RATE)
            if rate not in tried:
                fit.move(unit(rate))
                self._settle(fit)
            elif weights != LAST_WEIGHTS:
                weights = LAST_WEIGHTS
            else:
                return self._nearest(fit, changes, [encoded for pair in tried.values() for encoded in pair], budget)

    def _nearest(self, fit: Fit, changes: tuple[Change, ...], tried: list[Encoded], budget: PayloadBudget) -> Encoded:
        """At the end of the range, or between two rates neither of which can fill the budget."""
        within = [encoded for encoded in tried if len(encoded.payload) <= budget.size_bytes]
        best = max(within, key=lambda encoded: len(encoded.payload), default=None)
        if best is not None:
            full = len(best.payload) >= LARGEST_ENOUGH * budget.size_bytes
            if budget.clamp or full or len(within) < len(tried):
                return best
        if budget.clamp:
            return min(tried, key=lambda encoded: len(encoded.payload))
        ends = dict(zip((0, HIGHEST_RATE), reversed(LAST_WEIGHTS), strict=True))
        reach = {}
        for rate in sorted(ends, key=lambda rate: abs(rate - _rate(fit))):  # what was found first, before it moves
            if rate != _rate(fit):
                fit.restart(unit(rate))
                self._settle(fit)
            reach[rate] = len(self._code(fit, changes, ends[rate] * RATE_WEIGHT).payload)
        raise OutOfReachError(*(reach[rate] for rate in ends))

    def _bisect(
        self, fit: Fit, changes: tuple[Change, ...], budget: PayloadBudget, weights: tuple[float, float]
    ) -> Encoded | tuple[Encoded, Encoded]:
        """A payload that fills the budget; or the smallest and the largest one, if it lies outside of these."""
        low, high = (weight * RATE_WEIGHT for weight in weights)
        largest, smallest = (self._code(fit, changes, weight) for weight in (low, high))
        if FULL_ENOUGH * budget.size_bytes <= len(largest.payload) <= budget.size_bytes:
            return largest
        if not len(smallest.payload) <= budget.size_bytes < len(largest.payload):
            return smallest, largest
        best = smallest
        for _ in range(BISECTIONS):
            if len(best.payload) >= FULL_ENOUGH * budget.size_bytes:
                break
            weight = math.sqrt(low * high)
            encoded = self._code(fit, changes, weight)
            if len(encoded.payload) <= budget.size_bytes:
                best, high = encoded, weight
            else:
                low = weight
        return best

    def _code(self, fit: Fit, changes: tuple[Change, ...], weight: float) -> Encoded:
        encoder, counter = SymbolEncoder(PACKING), BitCounter(PACKING)
        coder = Both(encoder, counter)
        known = code_differences(coder, changes, self.reference, fit.function.integers())
        source = [grid[0].to(torch.int32).numpy() for grid in fit.symbols_at(weight)]
        size, rate = (self.latents.shape[2], self.latents.shape[3]), _rate(fit)
        grids, _ = code_grids(coder, known, self.layout, rate, size, source)
        prefix = replace(self.prefix, changes=changes, noise=self.noise).write()
        payload = prefix + encoder.finish()
        self.settings.report(self.rounds_done, self._effort.rounds, 8 * len(payload), self.doing)
        return Encoded(rate, digest(grids), payload, counter.bits + 8 * len(prefix))


def _rate(fit: Fit) -> int:
    return round(fit.rate.item() * HIGHEST_RATE)
