"""Patches, the network that sees them, and the distances of what it sees: against facts and closed forms."""

import numpy as np
import pytest
import torch

from latentcodec.errors import InputError, WeightsError
from latentcodec.metrics.frechet import frechet_distance, kernel_distance
from latentcodec.metrics.inception import Inception, load_inception, patches, to_tensor
from latentcodec.weights import store


def seeded_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights that let activations through, the same in every version of torch."""
    generator = np.random.Generator(np.random.PCG64(0))
    state = {}
    for name, value in network.state_dict().items():
        noise = generator.standard_normal(value.shape)
        if name.endswith("conv.weight"):
            noise *= np.sqrt(2 / noise[0].size)
        elif name.endswith(("bn.weight", "running_var")):
            noise = 1 + 0.5 * np.tanh(noise)
        state[name] = torch.as_tensor(0.1 * noise if name.endswith(("bias", "mean")) else noise).to(value.dtype)
    return state


def noise_patches(count: int) -> list[np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(1))
    return list(generator.integers(0, 256, (count, 256, 256, 3), dtype=np.uint8))


def test_network_has_the_published_tensors() -> None:
    state = Inception().state_dict()
    assert len(state) == 566  # the entries of pt_inception-2015-12-05-6726825d.pth
    assert sum(value.numel() for name, value in state.items() if name.endswith("conv.weight")) == 21_751_136
    assert sum(name.endswith("conv.weight") for name in state) == 94
    shapes = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6c.branch7x7dbl_2.conv.weight": (160, 160, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
        "fc.weight": (1008, 2048),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_features_equal_those_of_pytorch_fid() -> None:
    # its InceptionV3, and that of torch-fidelity behind the same resize, give exactly these with the same weights
    network = load_inception(seeded_state(Inception()))
    with torch.inference_mode():
        features = network(to_tensor(noise_patches(1)))
    assert features.shape == (1, 2048)
    expected = torch.tensor([0.06328283, 36.95858765, 1.90506983, 2.73120093])
    torch.testing.assert_close(features[0, :4], expected, rtol=1e-3, atol=1e-3)


def test_patches_lie_on_a_grid_and_on_a_shifted_one() -> None:
    pixels = np.arange(600 * 780 * 3, dtype=np.uint32).view(np.uint8)[: 600 * 780 * 3].reshape(600, 780, 3)
    cut = list(patches(pixels))
    corners = [(0, 0), (0, 256), (0, 512), (256, 0), (256, 256), (256, 512), (128, 128), (128, 384)]
    assert len(cut) == len(corners)
    for patch, (top, left) in zip(cut, corners, strict=True):
        assert (patch == pixels[top : top + 256, left : left + 256]).all()


@pytest.mark.parametrize(
    ("size", "count"),
    [((512, 768), 8), ((255, 900), 0), ((256, 256), 1), ((383, 512), 2), ((384, 512), 3), ((640, 640), 8)],
)
def test_number_of_patches(size: tuple[int, int], count: int) -> None:
    assert len(list(patches(np.zeros((*size, 3), np.uint8)))) == count  # 24 pictures of Kodak: 192, as HiFiC counts


def test_fréchet_distance_of_known_moments() -> None:
    # Rows +-sqrt(n-1)/sqrt(2) * s_i e_i + mean have exactly the covariance diag(s_i^2)
    def rows(spread: np.ndarray, mean: np.ndarray) -> np.ndarray:
        directions = np.diag(spread) * np.sqrt((2 * len(spread) - 1) / 2)
        return np.concatenate([directions, -directions]) + mean

    s, t = np.array([1.0, 2.0, 0.5, 0.0]), np.array([3.0, 2.0, 1.0, 4.0])
    distance = frechet_distance(rows(s, np.zeros(4)), rows(t, np.array([1.0, 0, 0, 2.0])))
    assert distance == pytest.approx(5 + ((s - t) ** 2).sum())
    assert frechet_distance(rows(s, np.ones(4)), rows(s, np.ones(4))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(7, 9), (200, 300)], ids=["rank-deficient", "full"])
def test_fréchet_distance_equals_its_definition(n: int, m: int) -> None:
    generator = np.random.default_rng(2)
    a = generator.normal(size=(n, 20)) @ generator.normal(size=(20, 20))
    b = generator.normal(size=(m, 20)) + 0.5
    covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
    root = np.sqrt(np.maximum(np.linalg.eigvals(covariance_a @ covariance_b).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_distances_equal_those_of_the_reference_programs() -> None:
    # pytorch-fid 0.3.0 (calculate_frechet_distance) and torch-fidelity 0.3.0 (polynomial_mmd) on the same features;
    # numpy promises that this generator's numbers never change.
    generator = np.random.RandomState(2026)
    a = np.abs(generator.normal(size=(300, 64)))
    a[:, ::2] *= 1.5
    b = np.abs(generator.normal(size=(300, 64))) * 1.2 + 0.1
    assert frechet_distance(a, b) == pytest.approx(8.413559150168936, rel=1e-12)
    assert kernel_distance(a, b) == pytest.approx(0.6382687961830484, rel=1e-12)


def test_kernel_distance_equals_its_definition() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(1100, 5)), generator.normal(size=(30, 5)) + 0.3  # more rows than are taken at once

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 5 + 1) ** 3

    within = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (len(x) * (len(x) - 1)) for x in (a, b)]
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * kernel(a, b).mean())


def test_kernel_distance_of_one_distribution_is_unbiased() -> None:
    generator = np.random.default_rng(4)
    distances = [kernel_distance(*generator.normal(size=(2, 40, 3))) for _ in range(200)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(200)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_one_patch_is_no_distribution(distance: object) -> None:
    with pytest.raises(InputError, match="two patches"):
        distance(np.zeros((1, 4)), np.zeros((9, 4)))  # type: ignore[operator]


def test_missing_network_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("LCODEC_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="lcodec weights fetch inception-fid"):
        store.load("inception-fid")
