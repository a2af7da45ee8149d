"""The prompts of one loop at work: what a teacher is asked, what its reply holds, what the model itself is asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..chat.messages import ChatRequest, Choice, Reply
from ..prompts import Template, phrase
from ..samples import Message, Sample
from .example import Example
from .parsing import Refused, read_fields, unquoted
from .planning import Generation, Order
from .tasks import TaskSettings, made

Retry = int  # how many calls were made for an order before this one


@dataclass(frozen=True)
class Writing:
    """A task with its categories and templates; `phrases` are the sentences that controls are told in."""

    task: TaskSettings
    kind: str
    categories: Mapping[str, str]
    settings: Generation
    templates: Mapping[str, Template]
    answer: Template
    phrases: Mapping[str, Any]
    language: str = "en"

    def ask(self, text: str, history: Sequence[Message] = (), passage: str = "") -> tuple[Message, ...]:
        """The messages that ask for an answer: what is trained on, benchmarked and served."""
        offered = {
            "instruction": self.task.instruction,
            "labels": list(self.categories),
            "passage": passage,
            "text": text,
        }
        turns = self.answer.fill(offered)
        if turns[-1].role != "user":  # the template of a conversation has no turn for what is said
            turns = (*turns, Message(role="user", content=text))
        return (*turns[:-1], *history, turns[-1])

    def sample(self, example: Example, passage: str = "", **provenance: Any) -> Sample:
        """A training sample; `provenance` fills origin, source, round and controls."""
        asked = self.ask(example.text, example.history, passage)
        kept = {"category": example.category, "passage": example.passage, "quote": example.quote, "test": example.test}
        controls = {name: value for name, value in kept.items() if value} | provenance.pop("controls", {})
        return Sample.make(
            (*asked, Message(role="assistant", content=example.answer)),
            task=self.kind,
            label=example.label,
            controls=controls,
            **provenance,
        )

    def request(self, order: Order, retry: Retry = 0) -> ChatRequest:
        """The call that fills one order; a further try draws another reply."""
        template, settings = self.templates[order.template], self.settings
        offered = {
            "instruction": self.task.instruction,
            "setting": self.task.setting,
            "topic": self.categories.get(order.cell.category, ""),
            "shots": [self.task.shown(example) for example in order.shots],
            "opening": order.opening,
            "rules": self._rules(order, template),
            "passage": order.passage.text if order.passage else "",
        }
        ends = {"text": ("\n",), "fields": ("\n---",)} if template.leaves_open else {}  # of one entry of a list
        return ChatRequest(
            messages=template.fill(offered),
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=(order.seed + retry * 1_000_003) % 2**31,
            stop=ends.get(str(template.head.output), ()),
            json_schema=template.output_schema,
            choices=order.choices,
        )

    def read(self, order: Order, reply: Reply, **provenance: Any) -> Iterator[Sample]:
        """A sample for each choice of a reply: one to learn from, or one with the reason why it is none."""
        for choice in reply.choices[: order.choices]:
            yield self._read(order, choice, **provenance)

    def refused(self, order: Order, said: str, reason: str, **provenance: Any) -> Sample:
        """The row of something that was asked for and not made; it keeps what was said instead."""
        return Sample.make(
            (Message(role="user", content=said),),
            task=self.kind,
            label=order.cell.category if "labels" in self.answer.head.variables else None,
            controls=self._controls(order),
            **provenance,
        ).rejected(reason)

    def _read(self, order: Order, choice: Choice, **provenance: Any) -> Sample:
        template = self.templates[order.template]
        written = self._fields(template, order, choice.text)
        if isinstance(written, Refused):
            return self.refused(order, choice.text, written.reason, **provenance)
        passage = order.passage.text if order.passage else ""
        example = made(self.task, written, order.cell.category, passage)
        if isinstance(example, str):
            return self.refused(order, choice.text, example, **provenance)
        if order.passage is not None:
            example = example.model_copy(update={"passage": order.passage.id})
        controls = self._controls(order) | {"finish": choice.finish}
        return self.sample(example, passage, controls=controls, **provenance)

    def _fields(self, template: Template, order: Order, said: str) -> Mapping[str, Any] | Refused:
        if template.head.output == "text":
            text = unquoted(order.opening + said if template.leaves_open else said)
            return {self.task.keys[0]: text} if text else Refused("empty_field")
        if not template.leaves_open:
            return read_fields(said, self.task.keys)
        # the first label stands in the prompt, in the line that the model went on from
        begun = template.turns[-1][1].splitlines()[-1]
        return read_fields(phrase(begun, template.head.name, opening=order.opening) + said, self.task.keys)

    def _controls(self, order: Order) -> dict[str, str]:
        template = self.templates[order.template]
        told = {"template": order.template, "prompt": template.digest[:16], "opening": order.opening}
        return {"category": order.cell.category} | dict(order.cell.controls) | {k: v for k, v in told.items() if v}

    def _rules(self, order: Order, template: Template) -> list[str]:
        """The sentences that say what this sample is to be like, in the language of the templates."""
        asked = dict(order.cell.controls)
        rules = []
        if grade := asked.pop("difficulty", None):
            rules.append(str(self.phrases["difficulty"][int(grade)]))
        if code := asked.pop("language", None):
            asked["language"] = str(self.phrases["languages"].get(code, code))
        if self.settings.tone:
            asked["tone"] = self.settings.tone
        rules += [self._phrase(name, **{name: value}) for name, value in asked.items()]
        if self.settings.forbidden:
            rules.append(self._phrase("forbidden", words=list(self.settings.forbidden)))
        if order.passage is not None:
            rules.append(self._phrase("boundary"))
        if template.output_schema is not None:
            rules.append(self._phrase("fields", fields=list(self.task.keys)))
        return rules

    def _phrase(self, name: str, **values: Any) -> str:
        return phrase(str(self.phrases[name]), f"prompts/{self.language}/rules.yaml: `{name}`", **values)
