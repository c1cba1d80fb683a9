# The classifier in continuous time: the state at t = 1 of dx/dt = odefunc(x), from the stem's maps
# and channels of zeros at t = 0.
# image [batch, channels, size, size] -> logits [batch, classes]
def forward(self, image: Tensor) -> Tensor:
    x = self.downsample.forward(image)  # [batch, downsample_dim, m, m]
    x = torch.cat([x, self.zeros.expand(x.size(0), -1, -1, -1)], 1)  # [batch, dim, m, m]
    x = self.odesolve.forward(x)
    return self.fc.forward(self.pool.forward(x[:, -self.features :]))
