# Two 3x3 convolutions, of which the first may stride, beside a shortcut.
# x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    out = torch.relu(self.bn1.forward(self.conv1.forward(x)))
    out = self.bn2.forward(self.conv2.forward(out))
    # repeat i = 0 .. shortcuts - 1
    x = self.downsample.forward(x)
    # end
    return torch.relu(out + x)
