"""What a codec offers to the rest of the program."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from latentcodec.errors import InputError
from latentcodec.image import Pixels
from latentcodec.rate import Quality


@dataclass(frozen=True)
class Encoded:
    """Everything of a file that the codec itself decides. `information_bits` is -sum log2 p of the coded symbols."""

    rate: int
    symbols: int
    payload: bytes
    information_bits: float


@dataclass(frozen=True)
class PayloadBudget:
    """At most this many bytes for the payload alone. `clamp`: come as close as possible instead of failing."""

    size_bytes: int
    clamp: bool = False


Report = Callable[[int, int, float, str], None]  # steps done, steps to do, estimated bits, quality in words
MSE, PERCEPTUAL, PSNR, SSIM = "mse", "perceptual", "psnr", "ssim"
LARGEST_EFFORT = 10


@dataclass(frozen=True)
class Settings:
    """How hard an encoder tries, 1..LARGEST_EFFORT; what for; whom it tells about progress; who may stop it early.

    None: as the method does by default. `max_memory_bytes`: as in `Limits`, for encoding.
    """

    effort: int | None = None
    tune: str | None = None
    report: Report = lambda step, steps, bits, quality: None
    stopped: Callable[[], bool] = lambda: False
    max_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.effort is not None and not 1 <= self.effort <= LARGEST_EFFORT:
            raise InputError(f"effort {self.effort} is not in 1..{LARGEST_EFFORT}")


DEFAULT_SETTINGS = Settings()


class Pipeline(Protocol):
    """A codec with its weights loaded. Pixels are uint8 [H, W, 3]."""

    codec_id: int
    fingerprint: int

    def encode(self, pixels: Pixels, target: Quality | PayloadBudget, settings: Settings) -> Encoded:
        """Pixels -> payload. Raises OutOfReachError if no rate meets the budget and it is not to be clamped."""

    def decode(
        self, encoded: Encoded, size: tuple[int, int], fidelity: float = 0.0, max_memory_bytes: int | None = None
    ) -> Pixels:
        """Payload -> pixels of `size` (width, height). Raises CorruptError if the symbols' digest does not match.

        `fidelity` 0..1: from the realistic picture to the faithful one, where the method knows the difference.
        `max_memory_bytes`: as in `Limits`. Raises LimitError if the picture cannot be decoded within.
        """


class OutOfReachError(Exception):
    """No rate meets the payload budget; carries the payload sizes that can be reached for this picture."""

    def __init__(self, smallest: int, largest: int):
        super().__init__(f"payloads of {smallest} to {largest} bytes are within reach")
        self.smallest = smallest
        self.largest = largest
