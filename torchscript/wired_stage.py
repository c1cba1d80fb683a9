# Convolutions of equal maps whose channels are the nodes of one graph, read block by block: the first
# block sends the input's channels, normalised, through a depthwise convolution that may stride, to all
# channels of the state [batch, depth * out, h', w']; block i those from i * out on to all behind them.
# x [batch, in, h, w] -> [batch, out, h', w']: the last of the state's channels.
def forward(self, x: Tensor) -> Tensor:
    structure = self.graph.structure()  # chosen once a forward
    depthwise = [getattr(self.downsample, "0").weight]
    # repeat i = 0 .. inner - 1
    depthwise.append(self.conv.weight)
    # end
    weights: List[Tensor] = []
    biases: List[Tensor] = []
    means: List[Tensor] = []
    variances: List[Tensor] = []
    # repeat i = 0 .. norms - 1
    weights.append(getattr(self.norm, "$i").weight)
    biases.append(getattr(self.norm, "$i").bias)
    means.append(getattr(self.norm, "$i").running_mean)
    variances.append(getattr(self.norm, "$i").running_var)
    # end
    norm = "batch"
    if self.group != "":
        norm = "batch:" + self.group
    mean: Optional[Tensor] = None
    variance: Optional[Tensor] = None
    if not self.training:
        norm = "given"
        mean = torch.cat(means)
        variance = torch.cat(variances)
    out, mean_of, variance_of, state = rewire.wired_blocks(
        x,
        self.graph.candidates(),
        structure,
        torch.cat(depthwise),
        torch.cat(weights),
        torch.cat(biases),
        mean,
        variance,
        self.ends,
        self.targets,
        norm,
        1e-5,
        self.graph.gradient,
        self.execution,
        self.graph.gradient_rates(),
        self.stride,
        torch.is_grad_enabled(),
    )
    if self.training:
        images = x.size(0)
        if self.group != "":
            images = int(rewire.sum_over_peers(torch.tensor(images), self.group).item())
        count = images * x.size(2) * x.size(3)
        begin = 0
        # repeat i = 0 .. norms - 1
        end = begin + getattr(self.norm, "$i").weight.size(0)
        getattr(self.norm, "$i").track(mean_of[begin:end], variance_of[begin:end], count)
        begin = end
        count = images * out.size(2) * out.size(3)
        # end
    return out
