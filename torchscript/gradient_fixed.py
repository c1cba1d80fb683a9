# The gradient of candidates that are not in use has no rates: `gradient` says all of it.
def gradient_rates(self) -> Optional[Tensor]:
    return None
