"""Our Muon steps like torch's, and neither optimiser moves on gradients that are not finite."""

from copy import deepcopy

import torch
from torch import nn

from latentcodec.train.optimiser import Muon, Optimiser, orthogonalised

SHAPES = ((16, 16, 3, 3), (32, 16, 1, 1), (16, 32, 3, 3), (16, 16, 3, 3))


def test_muon_steps_like_the_one_of_torch() -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = [nn.Parameter(weight.detach().flatten(1).clone()) for weight in ours]
    muon = Muon(ours)
    reference = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for own, other in zip(ours, theirs, strict=True):
            own.grad = torch.randn_like(own)
            other.grad = own.grad.flatten(1).clone()
        muon.step(0.01)
        reference.step()
    for own, other in zip(ours, theirs, strict=True):
        assert (own.detach().flatten(1) - other).abs().max() < 5e-4  # steps of .01, orthogonalised in bfloat16


def test_stacked_matrices_are_orthogonalised_one_by_one() -> None:
    stack = torch.randn(3, 24, 40)
    together = orthogonalised(stack)
    for matrix, result in zip(stack, together, strict=True):
        assert (orthogonalised(matrix[None])[0] - result).abs().max() < 0.02
        assert torch.linalg.svdvals(result.float()).min() > 0.6
        assert torch.linalg.svdvals(result.float()).max() < 1.3


def test_momentum_survives_a_state_dict() -> None:
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(16, 32, 1)) for _ in range(2))
    optimisers = [Optimiser(first), Optimiser(second)]
    _give_gradients(first, 1.0)
    optimisers[0].step(0.01)
    second.load_state_dict(first.state_dict())
    optimisers[1].load_state_dict(deepcopy(optimisers[0].state_dict()))
    for model, optimiser in zip((first, second), optimisers, strict=True):
        _give_gradients(model, 2.0)
        optimiser.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_nothing_moves_on_gradients_that_are_not_finite() -> None:
    model = nn.Sequential(nn.Conv2d(16, 16, 3), nn.Conv2d(3, 3, 1))
    optimiser = Optimiser(model)
    _give_gradients(model, 1.0)
    optimiser.step(0.01, torch.tensor(True))
    before = [p.clone() for p in model.parameters()]
    _give_gradients(model, float("nan"))
    optimiser.step(0.01, torch.tensor(False))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    _give_gradients(model, 1.0)
    optimiser.step(0.01, torch.tensor(True))
    assert all(p.isfinite().all() for p in model.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def _give_gradients(model: nn.Module, value: float) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, value)
