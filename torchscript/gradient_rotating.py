# In each of `turns` steps one part of the outputs, a number of panels of `panel` outputs, passes on
# the gradient of candidates that are not in use, `turns` times as large: its mean over the steps is
# the whole gradient. turn_of [out] says when it is an output's turn, drawn anew after all had theirs;
# turn []: the step.
# [out]: the rates of this step; in evaluation 1, which is the whole gradient.
def gradient_rates(self) -> Optional[Tensor]:
    if not self.training:
        return torch.ones_like(self.turn_of).to(self.weight)
    if int(self.turn.item()) == 0:
        out = self.turn_of.size(0)
        order = torch.randperm((out + self.panel - 1) // self.panel) % self.turns
        self.turn_of.copy_(order.repeat_interleave(self.panel)[:out])
    rates = (self.turn_of == self.turn).to(self.weight) * self.turns
    self.turn.add_(1).remainder_(self.turns)
    return rates
