"""The learning rate, scaled by how noisy the gradient is: smaller steps where the last ones disagree."""

from pydantic import Field

from ...settings import Setting


class VarianceRate(Setting):
    """Scale the learning rate by the usual variance of the gradient over the present one, within bounds.

    The usual one is its exponential mean over about `horizon` steps, the present one that over Adam's own horizon, 10
    steps. That the rate should fall as the variance of the gradient rises is from Schaul, Zhang & LeCun, "No more
    pesky learning rates" (2013); they divide by the curvature too, which is not measured here.
    """

    horizon: int = Field(100, ge=10, le=100_000, description="steps over which the usual variance is averaged")
    lowest: float = Field(0.5, gt=0, le=1, description="smallest factor on the learning rate")
    highest: float = Field(2.0, ge=1, le=10, description="largest factor on the learning rate")


class GradientVariance:
    """Variance of the gradient over the last steps, from two numbers a step; fed with the same it says the same.

    Adam keeps m, the exponential mean of the gradient g, for every weight. With the mean of ‖g‖² at the same decay β,
    E‖g‖² − ‖E g‖² is the variance summed over all weights. Step i of t weighs
    w_i = (1 − β) β^(t−i) / (1 − β^t), and 1 − Σ w_i² = 1 − (1 − β)(1 + β^t) / ((1 + β)(1 − β^t)) makes the estimate
    unbiased for independent steps.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._second = 0.0
        self._steps = 0

    def __call__(self, squared_gradient: float, squared_mean: float) -> float | None:
        """Hear of ‖g‖² and of ‖m‖², m as Adam keeps it, not yet corrected for its start at 0; None after one step."""
        self._steps += 1
        self._second = self._decay * self._second + (1 - self._decay) * squared_gradient
        past = self._decay**self._steps
        squared_weights = (1 - self._decay) * (1 + past) / ((1 + self._decay) * (1 - past))
        if self._steps == 1:
            return None
        spread = self._second / (1 - past) - squared_mean / (1 - past) ** 2
        return max(0.0, spread) / (1 - squared_weights)


class RateFactor:
    """What to multiply the next learning rate by, given the variances so far."""

    def __init__(self, settings: VarianceRate) -> None:
        self._settings = settings
        self._mean = 0.0
        self._heard = 0
        self.factor = 1.0

    def __call__(self, variance: float | None) -> None:
        """Hear of the variance after a step; what is unknown changes nothing."""
        if variance is None:
            return
        decay = 1 - 1 / self._settings.horizon
        self._heard += 1
        self._mean = decay * self._mean + (1 - decay) * variance
        usual = self._mean / (1 - decay**self._heard)
        ratio = usual / variance if variance > 0 else self._settings.highest
        self.factor = min(self._settings.highest, max(self._settings.lowest, ratio))
