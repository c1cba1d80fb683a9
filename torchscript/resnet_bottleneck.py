# A 3x3 convolution that may stride, between two of single places that leave it a quarter of the
# channels, beside a shortcut. x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    out = torch.relu(self.bn1.forward(self.conv1.forward(x)))
    out = torch.relu(self.bn2.forward(self.conv2.forward(out)))
    out = self.bn3.forward(self.conv3.forward(out))
    # repeat i = 0 .. shortcuts - 1
    x = self.downsample.forward(x)
    # end
    return torch.relu(out + x)
