"""Small questions over a screen: are you sure, and how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

Answer = TypeVar("Answer")


class Confirm(ModalScreen[bool]):
    """y does it; anything else does not."""

    BINDINGS = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q,enter", "answer(False)", "no"),
    ]

    def __init__(self, question: str, consequence: str) -> None:
        super().__init__()
        self._question, self._consequence = question, consequence

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._consequence, markup=False)
            yield Static("y  yes      n  no", classes="keys")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Ask(ModalScreen[Answer | None], Generic[Answer]):
    """A number, or whatever `read` makes of a line; what it cannot read is said so and asked again. Escape: None."""

    BINDINGS = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, question: str, proposed: str, doc: str, read: Callable[[str], Answer]) -> None:
        super().__init__()
        self._question, self._proposed, self._doc, self._read = question, proposed, doc, read

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._doc, markup=False)
            yield Input(self._proposed, id="answer", compact=True)
            yield Static("enter  ok      esc  cancel", classes="keys", id="ask-keys")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            value = self._read(event.value)
        except ValueError as error:
            self.query_one("#ask-keys", Static).update(str(error))
            return
        self.dismiss(value)
