# x(1) of dx/dt = odefunc(x) from x(0), by Dormand and Prince's pair of orders 5 and 4 with steps of
# adaptive size. The last step passes t = 1; x(1) is read off a polynomial of degree 4 through the
# step's ends, their slopes and its middle. Norms are root mean squares over the whole batch. The
# gradient passes through the steps, whose sizes it takes as constants.
# Source: Dormand and Prince 1980; Hairer, Norsett, Wanner 1993, II.4; the constants of the error and
# of the middle are those of torchdiffeq 0.2.
def rms(self, x: Tensor) -> float:
    return float(torch.sqrt(torch.mean(torch.square(x))).item())


# x(1), and the times at which the slope was evaluated.
def solve(self, x: Tensor) -> Tuple[Tensor, List[float]]:
    stage_times = [1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0]
    candidates = self.odefunc.graph.candidates()
    structure = self.odefunc.graph.structure()
    rates = self.odefunc.graph.gradient_rates()
    slope = self.odefunc.forward(x, candidates, structure, rates)

    # The size of the first step, by the slope here and a little ahead.
    scale = self.tolerance + torch.abs(x.detach()) * self.tolerance
    d0 = self.rms(x.detach() / scale)
    d1 = self.rms(slope.detach() / scale)
    ahead = 1e-6
    if d0 >= 1e-5 and d1 >= 1e-5:
        ahead = 0.01 * d0 / d1
    x_ahead = x.detach() + slope.detach() * ahead
    slope_ahead = self.odefunc.forward(x_ahead, candidates, structure, rates)
    d2 = self.rms((slope_ahead - slope).detach() / scale) / ahead
    step = max(1e-6, ahead * 1e-3)
    if d1 > 1e-15 or d2 > 1e-15:
        step = (0.01 / max(d1, d2)) ** 0.2
    step = min(100.0 * ahead, step)

    end = x
    time = 0.0
    times = [0.0, ahead]
    while time < 1.0:
        last = time + step >= 1.0
        y, slope_at_y, error, middle = self.odefunc.advance(
            x, slope, step, candidates, structure, rates, last
        )
        for stage_time in stage_times:
            times.append(time + stage_time * step)
        size = torch.maximum(torch.abs(x.detach()), torch.abs(y.detach()))
        ratio = self.rms(error / (self.tolerance + size * self.tolerance))
        if not ratio >= 0.0 or time + step == time:
            end = y * float("nan")  # the state is no number, or no step is short enough
            time = 1.0
            ratio = float("inf")
        factor = 10.0
        if ratio > 0.0:
            least = 1.0
            if ratio >= 1.0:
                least = 0.2
            factor = min(10.0, max(0.9 / ratio**0.2, least))
        if ratio <= 1.0:
            if last:
                end = self.between(x, y, middle, slope, slope_at_y, step, (1.0 - time) / step)
            x = y
            slope = slope_at_y
            time = time + step
        step = step * factor
    return end, times


# The polynomial of degree 4 through x, the middle and y of a step, with those slopes at its ends, at
# `where` from 0 to 1.
def between(
    self, x: Tensor, y: Tensor, middle: Tensor, slope: Tensor, slope_at_y: Tensor, step: float, where: float
) -> Tensor:
    fourth = (slope_at_y - slope) * (2.0 * step) - (y + x) * 8.0 + middle * 16.0
    third = (slope * 5.0 - slope_at_y * 3.0) * step + x * 18.0 + y * 14.0 - middle * 32.0
    second = (slope_at_y - slope * 4.0) * step - x * 11.0 - y * 5.0 + middle * 16.0
    return x + (slope * step + (second + (third + fourth * where) * where) * where) * where


def forward(self, x: Tensor) -> Tensor:
    return self.solve(x)[0]
