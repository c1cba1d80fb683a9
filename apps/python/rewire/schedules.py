"""Which edges exist while a model trains: edges that move, and edges that become fewer."""

import math

import torch
from torch import Tensor, nn

from rewire.nn.dnw import DNW
from rewire.nn.sparse import Sparse
from rewire.nn.wired import kept_of


class _Schedule:
    """Counts the steps of an optimiser, and does something at some of them."""

    def __init__(self):
        self.steps = 0

    def state_dict(self) -> dict:
        """What `load_state_dict` takes."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict):
        """Goes on where another stood."""
        self.steps = state["steps"]


class Rewiring(_Schedule):
    """Moves the edges of a model's sparse layers: the weakest are dropped, as many others grown.

    Every `every` steps until step `until`, in each `SparseLinear` and `SparseConv2d`, a part
    f of the edges, fraction / 2 (1 + cos(pi step / until)), those of the smallest magnitude, makes
    room for edges that were not there, or that were just dropped. Their momentum, and what else an
    optimiser has of each entry, begins at 0. Storage stays as it is: nothing is ever dense but at
    those steps, the gradient of "rigl".

    Parameters
    ----------
    model
        Of layers as `rewire.sparsify(model, density, method="rigl")` makes them.
    optimizer
        Of the model's parameters.
    method
        "rigl": grown are those candidates whose gradient, of the last backward pass, has the
        largest magnitude, from 0; the step of the optimiser, which is left out there, is taken too.
        Source: Evci et al. 2020, "Rigging the Lottery". "set": grown at random, with weights as a
        layer begins with. Source: Mocanu et al. 2018, "Scalable training of artificial neural
        networks with adaptive sparse connectivity".
    seed
        Of what is drawn.

    Raises
    ------
    ValueError
        If an option is out of its range, or the model has no such layer.

    >>> import torch, rewire
    >>> model = rewire.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), 0.1, method="rigl")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> rewiring = rewire.Rewiring(model, optimizer, method="rigl", every=2, until=100)
    >>> for _ in range(4):
    ...     model(torch.randn(8, 64)).square().sum().backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    ...     rewiring.step()
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        method: str = "rigl",
        fraction: float = 0.3,
        every: int = 100,
        until: int = 10_000,
        seed: int = 0,
    ):
        super().__init__()
        if method not in ("rigl", "set"):
            raise ValueError(f"Rewiring: expected method 'rigl' or 'set', got {method!r}")
        if not 0 <= fraction <= 1:
            raise ValueError(f"Rewiring: expected fraction in [0, 1], got {fraction}")
        if every < 1 or until < 1:
            raise ValueError(f"Rewiring: expected every and until of at least 1, got {every}, {until}")
        self.layers = [layer for layer in model.modules() if isinstance(layer, Sparse)]
        if not self.layers:
            raise ValueError("Rewiring: the model has no SparseLinear or SparseConv2d")
        self.optimizer, self.method, self.fraction = optimizer, method, fraction
        self.every, self.until = every, until
        self.generator = torch.Generator().manual_seed(seed)
        self._watch()

    def step(self):
        """After each step of the optimiser, before or after its gradients are set to None."""
        self.steps += 1
        if self._is_due(self.steps):
            for layer in self.layers:
                if layer.values.requires_grad:
                    self._move(layer)
        self._watch()

    def state_dict(self) -> dict:
        """What `load_state_dict` takes."""
        return super().state_dict() | {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict):
        """Goes on where another stood."""
        super().load_state_dict(state)
        self.generator.set_state(state["generator"])
        self._watch()

    def _is_due(self, step: int) -> bool:
        return step % self.every == 0 and step < self.until

    def _watch(self):
        for layer in self.layers:
            layer.watch_candidates(self.method == "rigl" and self._is_due(self.steps + 1))

    @torch.no_grad()
    def _move(self, layer: Sparse):
        part = self.fraction / 2 * (1 + math.cos(math.pi * self.steps / self.until))
        places = layer.places()
        candidates = math.prod(layer.weight_shape)
        weakest = layer.values.abs().argsort(stable=True)
        dropped = weakest[: min(int(part * len(places)), candidates - len(places))]
        stays = torch.ones_like(places, dtype=torch.bool)
        stays[dropped] = False
        grown = self._grown(layer, places[stays], len(dropped))
        values = torch.zeros(len(grown), dtype=layer.values.dtype, device=grown.device)
        if self.method == "set":
            values = layer.drawn_values(grown, self.generator)
        old_places = layer.move_edges(stays, grown, values)
        self._carry(layer.values, old_places)

    def _grown(self, layer: Sparse, staying: Tensor, count: int) -> Tensor:
        """So many places in the dense weight, none of which is taken."""
        if self.method == "rigl":
            gradient = layer.candidate_gradient().flatten()
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(gradient)  # all processes grow the same edges
            score = gradient.abs()
        else:
            score = torch.rand(math.prod(layer.weight_shape), generator=self.generator)
            score = score.to(staying.device)
        score[staying] = -1
        return score.topk(count).indices

    def _carry(self, parameter: Tensor, old_places: Tensor):
        """Entry by entry what the optimiser remembers, 0 for what is new."""
        is_old = old_places >= 0
        for key, value in self.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim() > 0:
                moved = torch.where(is_old, value[old_places.clamp(min=0)], 0)
                self.optimizer.state[parameter][key] = moved.to(value.dtype)


class GradualPruning(_Schedule):
    """Leaves a model's wired layers fewer and fewer edges, the strongest ones.

        density(step) = final + (1 - final) (1 - (step - begin) / (end - begin))^3

    from 1 at `begin` to `final` at `end`, changed every `every` steps, in each `DNWLinear` and
    `DNWConv2d`. With `gradient="kept"` what is pruned no longer learns, as published; with "all" it
    may come back. How many edges are left is in the schedule's state dict, not in the model's.
    Source: Zhu and Gupta 2017, "To prune, or not to prune".

    Parameters
    ----------
    model
        Of layers as `rewire.sparsify(model, density, method="gradual")` makes them.
    final
        Of every layer; None: of each the density that it was made with.

    Raises
    ------
    ValueError
        If a number is out of its range, or the model has no such layer.

    >>> import torch, rewire
    >>> model = rewire.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 10)), 0.1, method="gradual")
    >>> pruning = rewire.GradualPruning(model, end=20, every=5)
    >>> for step in range(20):
    ...     pruning.step()
    ...     if step % 5 == 4:
    ...         print(model[0].keep)
    307
    136
    73
    64
    """

    def __init__(
        self,
        model: nn.Module,
        final: float | None = None,
        end: int = 10_000,
        begin: int = 0,
        every: int = 100,
    ):
        super().__init__()
        if final is not None and not 0 <= final <= 1:
            raise ValueError(f"GradualPruning: expected final in [0, 1], got {final}")
        if not 0 <= begin < end or every < 1:
            raise ValueError(
                "GradualPruning: expected 0 <= begin < end and every of at least 1, got "
                f"{begin}, {end} and {every}"
            )
        self.layers = [layer for layer in model.modules() if isinstance(layer, DNW)]
        if not self.layers:
            raise ValueError("GradualPruning: the model has no DNWLinear or DNWConv2d")
        self.final, self.begin, self.end, self.every = final, begin, end, every
        self._prune()

    def density(self, step: int, final: float | None = None) -> float:
        """The density that holds at a step; `final` of a layer with one of its own."""
        final = self.final if final is None else final
        if final is None:
            raise ValueError("GradualPruning: expected the final density of a layer, got None")
        step = step if step >= self.end else step - (step - self.begin) % self.every
        done = min(1.0, max(0.0, (step - self.begin) / (self.end - self.begin)))
        return final + (1 - final) * (1 - done) ** 3

    def step(self):
        """After each step of the optimiser."""
        self.steps += 1
        self._prune()

    def load_state_dict(self, state: dict):
        """Goes on where another stood."""
        super().load_state_dict(state)
        self._prune()

    def _prune(self):
        for layer in self.layers:
            final = layer.final_density if self.final is None else self.final
            layer.keep = kept_of(layer.weight.numel(), self.density(self.steps, final))
