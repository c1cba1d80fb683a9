"""Linear layers of few edges: fixed, or chosen anew at each step by a rule."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewire.nn.sparse import Sparse, sorted_edges, structure_of
from rewire.nn.wired import Wired, learn_as, take_parameters


class SparseLinear(Sparse):
    """A linear layer of which the edges in use alone are stored and computed.

        y_v = bias_v + sum over edges (u, v) of values_uv x_u

    Input [*, in_features], output [*, out_features]. Made by `from_edges` or `from_dense`, or of a
    `DNWLinear` by its `to_sparse`.

    Attributes
    ----------
    values
        Parameter [edges], by output, then input: the order of `edges`.
    bias
        Parameter [out_features], or None.
    execution
        "sparse", "dense", or "auto", the faster one.
    """

    def __init__(self, in_features: int, out_features: int, execution: str = "auto"):
        super().__init__()
        self.in_features, self.out_features, self.execution = in_features, out_features, execution

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[int, int]] | Tensor,
        in_features: int,
        out_features: int,
        bias: bool = True,
        values: Tensor | None = None,
        execution: str = "auto",
        device=None,
        dtype=None,
    ) -> "SparseLinear":
        """A layer of these edges.

        Parameters
        ----------
        edges
            Pairs (input, output), in any order, or a tensor [edges, 2] of them.
        values
            [edges], in the order of `edges`; None: drawn by `reset_parameters`.

        Raises
        ------
        ValueError
            If an edge comes twice or has an end that is not there, or values are not as many.
        """
        if not isinstance(edges, Tensor):
            pairs = list(edges)
            edges = torch.tensor(pairs) if pairs else torch.empty(0, 2, dtype=torch.int64)
        whole = not (edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool)
        if edges.dim() != 2 or edges.shape[1] != 2 or not whole:
            raise ValueError(
                f"SparseLinear: expected integers [edges, 2], got {edges.dtype} {list(edges.shape)}"
            )
        source, target = edges.to(device or edges.device, torch.int64).unbind(1)
        order = sorted_edges("SparseLinear", source, target, in_features, out_features)
        structure = structure_of(target[order], source[order], out_features, in_features)
        layer = cls(in_features, out_features, execution)
        options = {"device": source.device, "dtype": dtype or torch.get_default_dtype()}
        biases = torch.empty(out_features, **options) if bias else None
        layer._set_edges(structure, torch.empty(len(order), **options), biases)
        layer.reset_parameters()
        if values is not None:
            if values.shape != (len(order),):
                raise ValueError(
                    f"SparseLinear: expected values of shape [edges = {len(order)}], "
                    f"got {list(values.shape)}"
                )
            with torch.no_grad():
                layer.values.copy_(values.to(order.device)[order])
        return layer

    @classmethod
    def from_dense(
        cls, linear: nn.Linear, mask: Tensor | None = None, execution: str = "auto"
    ) -> "SparseLinear":
        """The layer of a dense one's weights that are not 0, or of those that `mask` names."""
        weight = linear.weight.detach()
        used = weight != 0 if mask is None else mask
        if used.shape != weight.shape:
            raise ValueError(
                f"SparseLinear: expected mask of shape {list(weight.shape)}, got {list(used.shape)}"
            )
        target, source = used.nonzero().unbind(1)
        layer = cls(linear.in_features, linear.out_features, execution)
        structure = structure_of(target, source, linear.out_features, linear.in_features)
        bias = None if linear.bias is None else linear.bias.detach().clone()
        layer._set_edges(structure, weight[target, source], bias)
        learn_as((layer.values, layer.bias), (linear.weight, linear.bias))
        return layer.train(linear.training)

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(out_features, in_features)"""
        return (self.out_features, self.in_features)

    @property
    def edges(self) -> Tensor:
        """Pairs (input, output), int64 [edges, 2]."""
        return torch.stack([self.columns.to(torch.int64), self._targets()], 1)

    def to_dense(self) -> nn.Linear:
        """A torch layer with the same outputs."""
        options = {"device": self.values.device, "dtype": self.values.dtype}
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, **options)
        with torch.no_grad():
            linear.weight.copy_(self.dense_weight())
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        learn_as((linear.weight, linear.bias), (self.values, self.bias))
        return linear.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """[*, in_features] to [*, out_features]."""
        watched = self._watched_dense()
        if watched is not None:
            return functional.linear(x, watched, self.bias)
        return torch.ops.rewire.sparse_linear(
            x, self.values, self.bias, *self._structure(), self.execution
        )

    def extra_repr(self) -> str:
        """Sizes, edges and how they are computed."""
        density = self.num_edges / max(1, self.in_features * self.out_features)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"edges={self.num_edges} ({100 * density:.3g} %), bias={self.bias is not None}"
        )


class WiredLinear(Wired, nn.Linear):
    """A torch layer of which the edges that a rule chooses are in use; a subclass says the rule."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        device=None,
        dtype=None,
        **wiring,
    ):
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self._wire(**wiring)

    @classmethod
    def from_dense(cls, linear: nn.Linear, **options) -> "WiredLinear":
        """Of a torch layer, whose parameters become this one's; `options` as for the constructor."""
        device, dtype = linear.weight.device, linear.weight.dtype
        sizes = (linear.in_features, linear.out_features, linear.bias is not None)
        layer = cls(*sizes, **options, device=device, dtype=dtype)
        take_parameters(layer, linear)
        return layer

    def to_sparse(self) -> SparseLinear:
        """The layer with the edges of now, fixed."""
        return SparseLinear.from_dense(self, self.used_edges(), self.execution)

    def to_dense(self) -> nn.Linear:
        """A torch layer with the edges of now, fixed: 0 elsewhere."""
        return self.to_sparse().to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """[*, in_features] to [*, out_features]."""
        if self.keep == self.weight.numel():
            return functional.linear(x, self._weight(self._strength()), self.bias)
        return self._multiplied(torch.ops.rewire.wired_linear, x)

    def extra_repr(self) -> str:
        """Those of the torch layer, and the wiring."""
        return f"{super().extra_repr()}, {self._wiring_repr()}"
