"""General prompts that the base answers itself: what training stays close to there, it can do afterwards too.

The adapter then learns to answer with a label where the loop's prompt asks for one, and to answer as the base does
elsewhere (rehearsal by self-distillation, Huang et al. 2024; the loss is `training.losses.token_losses`).
"""

from collections.abc import Sequence

from ..chat.messages import ChatRequest, Reply
from ..samples import REHEARSAL, Message, Sample

MAX_TOKENS = 24


def rehearse(prompt: str) -> ChatRequest:
    """The call that has the base answer one prompt."""
    return ChatRequest(messages=(Message(role="user", content=prompt),), max_tokens=MAX_TOKENS)


def rehearsed(prompts: Sequence[str], replies: Sequence[Reply], source: str) -> list[Sample]:
    """The answered prompts as samples; empty answers are left out."""
    return [
        Sample.make(
            (Message(role="user", content=prompt), Message(role="assistant", content=reply.text.strip())),
            task=REHEARSAL,
            origin="teacher",
            source=source,
            controls={"finish": reply.finish},
        )
        for prompt, reply in zip(prompts, replies, strict=True)
        if reply.text.strip()
    ]
