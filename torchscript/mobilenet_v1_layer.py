# A depthwise convolution, then one of single places. x [batch, in, h, w] -> [batch, out, h', w']
def forward(self, x: Tensor) -> Tensor:
    x = torch.relu(self.bn1.forward(self.conv1.forward(x)))
    return torch.relu(self.bn2.forward(self.conv2.forward(x)))
