"""QLoRA on a CPU with the embedded model: a few steps are enough to see it learn."""

from pathlib import Path

import pytest
from wheelwork.core.engines.base import Adapter
from wheelwork.core.engines.llamacpp import LlamaCpp
from wheelwork.core.models.store import ModelStore
from wheelwork.core.training.settings import Training
from wheelwork.tests.core.engines.served import completing
from wheelwork.tests.core.training.toys import sample, train

SYSTEM = "Answer with one of these labels: wifi, bill."


@pytest.mark.model
def test_the_embedded_model_learns_in_nf4_on_a_cpu(tmp_path: Path) -> None:
    base = ModelStore().get("smollm2-135m-instruct")
    texts = {"wifi": "The wireless drops.", "bill": "I paid too much."}
    given = [sample(text, label, SYSTEM) for label, text in texts.items()]
    settings = Training(quantize="nf4", rank=8, epochs=4, batch_size=2, learning_rate=2e-3, noise=0)
    trained = train(base, tmp_path, settings=settings, samples=given)
    assert trained.packed
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    adapter = Adapter.at(tmp_path / "adapter")
    with completing(LlamaCpp(threads=1, context=512), base, {"nf4": adapter}, tmp_path / "cache") as served:
        prompt = list(range(100, 110))
        assert served.top(prompt, "nf4") != served.top(prompt, None)  # it is served on the base's own weights
