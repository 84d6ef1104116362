"""A step's loss and gradients as one CUDA graph.

A step of a small model is some thousands of small kernels, which a host launches more slowly than a GPU runs them.
Recorded once, they are launched at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3
Figures = dict[str, Tensor]  # scalars
Gradients = Callable[[Tensor, int], Figures]  # a batch and its step -> scalars to log; parameters have gradients then


class CapturedGradients:
    """Replays `gradients` of the first batch's shape; whatever they read from the host stays what it was then."""

    def __init__(self, gradients: Gradients, device: torch.device):
        self._gradients = gradients
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Tensor, step: int) -> Figures:
        if self._graph is None:
            self._capture(batch, step)
        self._batch.copy_(batch, non_blocking=True)
        assert self._graph is not None
        self._graph.replay()
        return dict(zip(self._names, self._figures.clone().unbind(), strict=True))

    def _capture(self, batch: Tensor, step: int) -> None:
        self._batch = batch.to(self._device)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what is built at the first call must not be part of the graph
            for _ in range(WARM_UPS):
                self._gradients(self._batch, step)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            figures = self._gradients(self._batch, step)
            self._names = list(figures)
            self._figures = torch.stack([value.float() for value in figures.values()])
