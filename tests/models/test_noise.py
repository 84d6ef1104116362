"""Known noise: the same for every decoder and every part of a picture, and like noise."""

import pytest
import torch

from latentcodec.models.blocks.noise import NoiseInput, noise_input, tile_at, uniform_noise

PINNED = [1.291990, -0.739646, -0.731864, -1.397757]  # by the formula of formats/stablecodec.md in Python's integers


def planes(height: int, width: int, count: int = 3, seed: int = 1) -> torch.Tensor:
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return uniform_noise(rows, columns, torch.arange(count)[:, None, None], seed)


def test_values_are_pinned() -> None:
    assert planes(1, 4, 1).flatten().tolist() == pytest.approx(PINNED, abs=1e-6)


def test_noise_is_white_and_of_unit_variance() -> None:
    noise = planes(256, 256)
    assert noise.mean().abs() < 0.01
    assert noise.var() == pytest.approx(1, abs=0.01)
    for other in (planes(256, 256, seed=2), noise.roll(1, 0), noise.roll(1, 1), noise.roll(1, 2)):
        assert (noise * other).mean().abs() < 0.02
    spectrum = torch.fft.rfft2(noise).abs().square() / 256**2
    assert spectrum.max() < 25  # that of white noise has an exponential distribution: e^-25 for each of 1e5


def test_a_crop_sees_its_part_of_the_planes() -> None:
    rows, columns = torch.arange(5, 9)[:, None], torch.arange(7, 20)
    part = uniform_noise(rows, columns, torch.arange(3)[:, None, None], 1)
    assert torch.equal(part, planes(9, 20)[:, 5:, 7:])


def test_decoding_is_deterministic_and_training_is_not() -> None:
    layer, x = NoiseInput(2, 4, seed=1, stride=8), torch.zeros(2, 4, 8, 8)
    trained = layer(x)
    assert not torch.equal(trained[0], trained[1])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[1])
    assert noise_input(0, 4, seed=1, stride=8) is None


def test_a_tile_sees_its_part_of_the_noise() -> None:
    layer = NoiseInput(2, 4, seed=1, stride=8).eval()
    whole = layer(torch.zeros(1, 4, 12, 12))
    with tile_at(layer, (32, 64)):
        tile = layer(torch.zeros(1, 4, 8, 4))
    assert torch.equal(tile, whole[:, :, 4:, 8:])
    assert torch.equal(layer(torch.zeros(1, 4, 12, 12)), whole)
