# Two branches, whose channels then alternate: the first of each, the second of each, ...
# The first branch is the first half of the channels as it is; where the unit strides, one of its own.
# x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    first, second = torch.chunk(x, 2, 1)
    # repeat i = 0 .. strided - 1
    first = self.branch1.forward(x)
    second = x
    # end
    return torch.flatten(torch.stack([first, self.branch2.forward(second)], 2), 1, 2)
