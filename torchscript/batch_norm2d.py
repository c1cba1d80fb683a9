# weight, bias, running_mean, running_var [channels]; x [batch, channels, h, w] -> the same.
# Training: statistics of the batch, and the running ones move a tenth of the way to them.
def forward(self, x: Tensor) -> Tensor:
    if self.training:
        self.num_batches_tracked.add_(1)
    return torch.batch_norm(
        x, self.weight, self.bias, self.running_mean, self.running_var, self.training, 0.1, 1e-5, True
    )


# As forward does in training, with the statistics of `count` values that somebody else computed:
# mean and variance, divided by the count, [channels].
def track(self, mean: Tensor, variance: Tensor, count: int) -> None:
    self.num_batches_tracked.add_(1)
    if count > 0:
        self.running_mean.mul_(0.9).add_(mean, alpha=0.1)
        self.running_var.mul_(0.9).add_(variance, alpha=0.1 * count / max(count - 1, 1))
