"""Denoising (Vincent et al., 2008 and 2010): what was it before the noise? https://www.jmlr.org/papers/v11/vincent10a.html"""

from typing import Annotated, Literal

from torch import Tensor

from selftaught import Data, Encoder, Method, Training, bounds
from selftaught.methods.objectives.prediction import weighted_error
from selftaught.methods.parts.damage import gaussian_noise, masking_noise, salt_and_pepper
from selftaught.methods.parts.decoders import MapDecoder

NOISES = {"masking": masking_noise, "gaussian": gaussian_noise, "salt_and_pepper": salt_and_pepper}


class Denoising(Method):
    """Values of the image are destroyed at random; a decoder predicts the clean image from the feature map."""

    question = "What was the image before the noise?"
    paper = "https://www.jmlr.org/papers/v11/vincent10a.html"
    views = ("light",)
    # The paper: plain gradient descent on a stack of single layers; here one network is trained at once.
    preset = Training(optimizer="adamw", lr=2e-3, weight_decay=1e-4)
    needs_values = True

    def __init__(
        self,
        encoder: Encoder,
        data: Data,
        /,
        *,
        noise: Literal["masking", "gaussian", "salt_and_pepper"] = "masking",
        # The papers' digits lose 0.25, as in the recipe; three quarters leave a network more to say of photos.
        level: Annotated[float, bounds.number(0, 100)] = 0.75,
        alpha: bounds.Weight = 1.0,
        beta: bounds.Weight = 1.0,
        decoder_width: bounds.Width = 128,
    ) -> None:
        """`level` is the share of destroyed values, or the Gaussian's deviation; `alpha` and `beta` weigh the
        errors at destroyed and at untouched values (2010, section 3.4, "emphasised" where they differ).
        Rows and series have no lowest and no highest value: `salt_and_pepper` sets theirs to the mean, or to one
        deviation above it, so take another noise for them."""
        super().__init__(encoder, data)
        self.noise, self.level, self.alpha, self.beta, self.data = NOISES[noise], level, alpha, beta, data
        self.decoder = MapDecoder(encoder, data.shape, data.shape[0], decoder_width)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        noisy, hit = self.noise(x, self.level, self.data)
        weights = self.alpha * hit.to(x.dtype) + self.beta * (~hit).to(x.dtype)
        return {"reconstruction": weighted_error(self.decoder(self.encoder.map(noisy)), x, weights)}

    def picture(self, *views: Tensor) -> dict[str, Tensor]:
        x = views[0]
        noisy, _ = self.noise(x, self.level, self.data)
        return {"input": x, "shown": noisy, "answer": self.decoder(self.encoder.map(noisy))}
