# x(1) of dx/dt = odefunc(x) from x(0), by Dormand and Prince's pair of orders 5 and 4 with steps of
# adaptive size. The last step passes t = 1; x(1) is read off a polynomial of degree 4 through the
# step's ends, their slopes and its middle. Norms are root mean squares over the whole batch. The
# gradient passes through the steps, whose sizes it takes as constants.
# Source: Dormand and Prince 1980; Hairer, Norsett, Wanner 1993, II.4; the constants of the error and
# of the middle are those of torchdiffeq 0.2.
def rms(self, x: Tensor) -> float:
    return float(torch.sqrt(torch.mean(torch.square(x))).item())


# sum over i of slopes[i] weights[i]
def mix(self, slopes: List[Tensor], weights: List[float]) -> Tensor:
    total = slopes[0] * weights[0]
    for i in range(1, len(weights)):
        if weights[i] != 0.0:
            total = torch.add(total, slopes[i], alpha=weights[i])
    return total


# x(1), and the times at which the slope was evaluated.
def solve(self, x: Tensor) -> Tuple[Tensor, List[float]]:
    stages = [
        [1.0 / 5.0],
        [3.0 / 40.0, 9.0 / 40.0],
        [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
        [19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
        [9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
        [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
    ]
    stage_times = [1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0]
    error_weights = [
        35.0 / 384.0 - 1951.0 / 21600.0,
        0.0,
        500.0 / 1113.0 - 22642.0 / 50085.0,
        125.0 / 192.0 - 451.0 / 720.0,
        -2187.0 / 6784.0 + 12231.0 / 42400.0,
        11.0 / 84.0 - 649.0 / 6300.0,
        -1.0 / 60.0,
    ]
    middle_weights = [
        6025192743.0 / 30085553152.0 / 2.0,
        0.0,
        51252292925.0 / 65400821598.0 / 2.0,
        -2691868925.0 / 45128329728.0 / 2.0,
        187940372067.0 / 1594534317056.0 / 2.0,
        -1776094331.0 / 19743644256.0 / 2.0,
        11237099.0 / 235043384.0 / 2.0,
    ]
    structure = self.odefunc.graph.structure()
    rates = self.odefunc.graph.gradient_rates()
    slope = self.odefunc.forward(x, structure, rates)

    # The size of the first step, by the slope here and a little ahead.
    scale = self.tolerance + torch.abs(x.detach()) * self.tolerance
    d0 = self.rms(x.detach() / scale)
    d1 = self.rms(slope.detach() / scale)
    ahead = 1e-6
    if d0 >= 1e-5 and d1 >= 1e-5:
        ahead = 0.01 * d0 / d1
    slope_ahead = self.odefunc.forward(x.detach() + slope.detach() * ahead, structure, rates)
    d2 = self.rms((slope_ahead - slope).detach() / scale) / ahead
    step = max(1e-6, ahead * 1e-3)
    if d1 > 1e-15 or d2 > 1e-15:
        step = (0.01 / max(d1, d2)) ** 0.2
    step = min(100.0 * ahead, step)

    end = x
    time = 0.0
    times = [0.0, ahead]
    while time < 1.0:
        slopes = [slope]
        y = x
        for i in range(6):
            y = torch.add(x, self.mix(slopes, stages[i]), alpha=step)
            slopes.append(self.odefunc.forward(y, structure, rates))
            times.append(time + stage_times[i] * step)
        error = self.mix(slopes, error_weights).detach() * step
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
            if time + step >= 1.0:
                middle = torch.add(x, self.mix(slopes, middle_weights), alpha=step)
                end = self.between(x, y, middle, slope, slopes[6], step, (1.0 - time) / step)
            x = y
            slope = slopes[6]
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
