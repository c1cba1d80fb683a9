"""Edges of which the values alone are stored, and their structure, as the operators take it."""

import math

import torch
from torch import Tensor, nn

PARTS = ("row_offsets", "columns", "column_offsets", "rows", "order")


def structure_of(out: Tensor, place: Tensor, num_out: int, num_places: int) -> tuple[Tensor, ...]:
    """From the edges' outputs and places among the inputs, sorted by both, to both structures."""
    zero = torch.zeros(1, dtype=torch.int64, device=out.device)

    def offsets(ends: Tensor, count: int) -> Tensor:
        return torch.cat([zero, torch.bincount(ends, minlength=count).cumsum(0)])

    order = torch.argsort(place, stable=True)
    parts = (offsets(out, num_out), place, offsets(place, num_places), out[order], order)
    return tuple(part.to(torch.int32) for part in parts)


def sorted_edges(
    layer: str, source: Tensor, target: Tensor, num_sources: int, num_targets: int
) -> Tensor:
    """The order of the edges by target, then source.

    Raises
    ------
    ValueError
        If an end is out of its range, or an edge comes twice; the edge is named.
    """
    for name, ends, count in (("source", source, num_sources), ("target", target, num_targets)):
        outside = (ends < 0) | (ends >= count)
        if outside.any():
            at = int(outside.nonzero()[0])
            raise ValueError(
                f"{layer}: expected {name}s in [0, {count}), got {int(ends[at])} of edge {at}"
            )
    key = target * num_sources + source
    order = torch.argsort(key, stable=True)
    same = key[order].diff() == 0
    if same.any():
        at = int(order[int(same.nonzero()[0]) + 1])
        raise ValueError(f"{layer}: edge ({int(source[at])}, {int(target[at])}) comes twice")
    return order


class Sparse(nn.Module):
    """Values [edges] by output, then input, and the five parts of their structure as buffers."""

    _watched = False
    _watched_weights: tuple[Tensor, ...] = ()  # of each call since

    def _set_edges(self, structure: tuple[Tensor, ...], values: Tensor, bias: Tensor | None):
        for name, part in zip(PARTS, structure, strict=True):
            self.register_buffer(name, part)
        self.values = nn.Parameter(values)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias))

    def _structure(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, name) for name in PARTS)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of the dense weight, [out, ...]; a subclass says it."""
        raise NotImplementedError

    @property
    def num_edges(self) -> int:
        """How many edges there are."""
        return self.values.numel()

    def dense_weight(self) -> Tensor:
        """The values as a dense weight, 0 elsewhere; the gradient reaches them."""
        return self._dense(self.values)

    def used_edges(self) -> Tensor:
        """Where the edges are in a dense weight: bool, of its shape."""
        return self._dense(torch.ones_like(self.values)) != 0

    def places(self) -> Tensor:
        """Where the edges are in the flattened dense weight: int64 [edges], ascending."""
        return self._targets() * math.prod(self.weight_shape[1:]) + self.columns

    def watch_candidates(self, on: bool):
        """Whether forward computes the dense weight, so that backward gives the gradient of all
        candidates: see `candidate_gradient`."""
        self._watched, self._watched_weights = on, ()

    def candidate_gradient(self) -> Tensor:
        """Of the dense weight, edge or none, by all calls of a layer since it is watched.

        Raises
        ------
        RuntimeError
            If there was none.
        """
        gradients = [w.grad for w in self._watched_weights if w.grad is not None]
        if not gradients:
            raise RuntimeError(
                f"{type(self).__name__}: no gradient of candidates: it is there after a backward "
                "pass in training, once watch_candidates(True) was called"
            )
        return sum(gradients[1:], gradients[0].clone())

    def __getstate__(self) -> dict:
        """Without what backward passes left, which belongs to their graph."""
        return {key: kept for key, kept in self.__dict__.items() if key != "_watched_weights"}

    def _watched_dense(self) -> Tensor | None:
        learns = self.training and self.values.requires_grad and torch.is_grad_enabled()
        if not (self._watched and learns):
            return None
        weight = self.dense_weight()
        weight.retain_grad()
        self._watched_weights += (weight,)
        return weight

    @torch.no_grad()
    def move_edges(self, stays: Tensor, grown: Tensor, values: Tensor) -> Tensor:
        """Puts edges at `grown` with `values` in the place of those that do not stay, as many.

        Parameters
        ----------
        stays
            Bool [edges].
        grown
            Places in the flattened dense weight, where no edge stays.

        Returns
        -------
        Tensor
            The old number of each edge, -1 of a new one.
        """
        old = stays.nonzero().squeeze(1)
        place = torch.cat([self.places()[old], grown])
        if len(place) != self.num_edges or len(place.unique()) != len(place):
            raise ValueError(
                f"{type(self).__name__}: expected as many edges as before, {self.num_edges}, each "
                f"once, got {len(place)}"
            )
        order = place.argsort()
        width = math.prod(self.weight_shape[1:])
        target, column = place[order] // width, place[order] % width
        parts = structure_of(target, column, self.weight_shape[0], width)
        for name, part in zip(PARTS, parts, strict=True):
            getattr(self, name).copy_(part)
        self.values.copy_(torch.cat([self.values[old], values])[order])
        return torch.cat([old, torch.full_like(grown, -1)])[order]

    def drawn_values(self, places: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Of edges at these places, as `reset_parameters` draws them."""
        target = places // math.prod(self.weight_shape[1:])
        fan_in = self.row_offsets.diff().clamp(min=1)[target]
        drawn = torch.empty(len(places), dtype=self.values.dtype).uniform_(-1, 1, generator=generator)
        return drawn.to(places.device) * fan_in.to(self.values.dtype).rsqrt()

    def _dense(self, values: Tensor) -> Tensor:
        shape = self.weight_shape
        places = math.prod(shape[1:])
        matrix = torch.ops.rewire.edge_matrix(values, self.row_offsets, self.columns, places)
        return matrix.view(shape)

    def _targets(self) -> Tensor:
        fan_in = self.row_offsets.diff().to(torch.int64)
        return torch.arange(fan_in.numel(), device=fan_in.device).repeat_interleave(fan_in)

    def reset_parameters(self):
        """Values and biases uniform in plus or minus 1 / sqrt(fan-in), of the output's own edges."""
        fan_in = self.row_offsets.diff().clamp(min=1)
        bound = fan_in.to(self.values.dtype).rsqrt()
        with torch.no_grad():
            self.values.uniform_(-1, 1).mul_(bound[self._targets()])
            if self.bias is not None:
                self.bias.uniform_(-1, 1).mul_(bound)
