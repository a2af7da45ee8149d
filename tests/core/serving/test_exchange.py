"""What is remembered of an exchange is refused where it cannot be."""

import pytest
from pydantic import ValidationError
from wheelwork.core.serving.exchange import Feedback


@pytest.mark.parametrize("rating", [0, 6])
def test_a_rating_is_one_of_five(rating: int) -> None:
    with pytest.raises(ValidationError):
        Feedback(exchange="chatcmpl-1", at=0.0, rating=rating)


def test_what_is_not_known_is_not_stored() -> None:
    with pytest.raises(ValidationError):
        Feedback.model_validate({"exchange": "chatcmpl-1", "at": 0.0, "star": 5})
