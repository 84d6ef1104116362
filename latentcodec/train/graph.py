"""A step's loss and gradients as one CUDA graph.

A step of a small model is some thousands of small kernels, which a host launches more slowly than a GPU runs them.
Captured once, they are launched at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3
Figures = dict[str, Tensor]  # scalars
Gradients = Callable[[Tensor, int], Figures]  # a batch and its step -> scalars to log; parameters have gradients then


class CapturedGradients:
    """Replays `gradients`; whatever they read from the host stays what it was at the first call.

    All batches have the shape of the first one, on which the gradients are computed a few times before they are
    captured: what a task keeps from step to step moves on as often.
    """

    def __init__(self, gradients: Gradients, device: torch.device):
        self._gradients = gradients
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Tensor, step: int) -> Figures:
        if self._graph is None:
            self._capture(batch, step)
        assert self._graph is not None
        assert batch.shape == self._batch.shape
        self._batch.copy_(batch, non_blocking=True)
        self._graph.replay()
        return dict(zip(self._names, self._figures.clone().unbind(), strict=True))

    def _capture(self, batch: Tensor, step: int) -> None:
        self._batch = batch.to(self._device)
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):  # what is built at the first call must not be part of the graph
            for _ in range(WARM_UPS):
                self._gradients(self._batch, step)
        torch.cuda.current_stream().wait_stream(side_stream)
        self._graph = torch.cuda.CUDAGraph()
        # Another thread may pin memory meanwhile, for the next batches.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            figures = self._gradients(self._batch, step)
            self._names = list(figures)
            self._figures = torch.stack([value.float() for value in figures.values()])
