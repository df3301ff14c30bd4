"""Small questions over a screen: are you sure, and how much."""

# Textual types `Screen` in its own signatures without its parameter, and `.app` as an App of unknown result.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

Answer = TypeVar("Answer")


def first_keys(screen: Screen[Any]) -> dict[str, str]:
    """By the names of what works on it now: the first key of each, as it is shown."""
    found: dict[str, str] = {}
    for active in screen.active_bindings.values():
        if active.binding.id:
            found.setdefault(active.binding.id, screen.app.get_key_display(active.binding))
    return found


class Confirm(ModalScreen[bool]):
    """y does it; anything else does not."""

    BINDINGS = [
        Binding("y", "answer(True)", "yes", id="dialog.yes"),
        Binding("n,escape,q,enter", "answer(False)", "no", id="dialog.no"),
    ]

    def __init__(self, question: str, consequence: str) -> None:
        super().__init__()
        self._question, self._consequence = question, consequence

    def compose(self) -> ComposeResult:
        keys = first_keys(self)
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._consequence, markup=False)
            yield Static(f"{keys['dialog.yes']}  yes      {keys['dialog.no']}  no", classes="keys", markup=False)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Ask(ModalScreen[Answer | None], Generic[Answer]):
    """A number, or whatever `read` makes of a line; what it cannot read is said so and asked again. Escape: None."""

    BINDINGS = [Binding("escape", "dismiss(None)", "cancel", id="dialog.cancel")]

    def __init__(self, question: str, proposed: str, doc: str, read: Callable[[str], Answer]) -> None:
        super().__init__()
        self._question, self._proposed, self._doc, self._read = question, proposed, doc, read

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._question, classes="question", markup=False)
            yield Static(self._doc, markup=False)
            yield Input(self._proposed, id="answer", compact=True)
            cancel = first_keys(self)["dialog.cancel"]
            yield Static(f"enter  ok      {cancel}  cancel", classes="keys", id="ask-keys", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            value = self._read(event.value)
        except ValueError as error:
            self.query_one("#ask-keys", Static).update(str(error))
            return
        self.dismiss(value)
