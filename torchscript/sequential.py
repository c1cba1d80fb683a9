# The children 0, 1, ... one after another.
def forward(self, x: Tensor) -> Tensor:
    # repeat i = 0 .. children - 1
    x = getattr(self, "$i").forward(x)
    # end
    return x
