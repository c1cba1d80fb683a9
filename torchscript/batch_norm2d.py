# weight, bias, running_mean, running_var [channels]; x [batch, channels, h, w] -> the same.
# Training: statistics of the batch, and the running ones move a tenth of the way to them.
def forward(self, x: Tensor) -> Tensor:
    if self.training:
        self.num_batches_tracked.add_(1)
        if self.group != "":
            return self.joint(x)
    return torch.batch_norm(
        x, self.weight, self.bias, self.running_mean, self.running_var, self.training, 0.1, 1e-5, True
    )


# In training, with the statistics of what all processes of a group have.
def joint(self, x: Tensor) -> Tensor:
    values = x.float()
    sums = torch.cat([values.sum([0, 2, 3]), values.new_full([1], x.size(0) * x.size(2) * x.size(3))])
    sums = rewire.sum_over_peers(sums, self.group)
    count = sums[-1]
    mean = sums[:-1] / count
    off = values - mean.view(1, -1, 1, 1)
    variance = rewire.sum_over_peers((off * off).sum([0, 2, 3]), self.group) / count
    self.running_mean.mul_(0.9).add_(mean.detach(), alpha=0.1)
    self.running_var.mul_(0.9).add_((variance * count / (count - 1).clamp_min(1)).detach(), alpha=0.1)
    scale = self.weight * torch.rsqrt(variance + 1e-5)
    return (off * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)


# As forward does in training, with the statistics of `count` values that somebody else computed:
# mean and variance, divided by the count, [channels].
def track(self, mean: Tensor, variance: Tensor, count: int) -> None:
    self.num_batches_tracked.add_(1)
    if count > 0:
        self.running_mean.mul_(0.9).add_(mean, alpha=0.1)
        self.running_var.mul_(0.9).add_(variance, alpha=0.1 * count / max(count - 1, 1))
