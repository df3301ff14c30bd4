"""A Static that lays the screen out anew only when its own height changes: a layout costs more than all drawing."""

from __future__ import annotations

from textual.visual import VisualType
from textual.widgets import Static

from .same_title import SameTitle


class Panel(SameTitle, Static):
    """Same content, same look; an update that leaves its height as it is redraws this panel alone. `shrinks`: False
    keeps the height that it once had, for one that follows a cursor over things of more and of less to say."""

    shrinks = True

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show something else. `layout`: False never lays out."""
        super().update(content, layout=False)
        if not layout or not self.is_mounted or not self.content_size.width:
            if layout:
                self.refresh(layout=True)
            return
        height = self.styles.height
        if height is not None and not height.is_auto:
            return
        needed = self.visual.get_height(self.styles.get_rules(), self.content_size.width)
        if needed > self.content_size.height or (self.shrinks and needed < self.content_size.height):
            self.refresh(layout=True)


class CursorPanel(Panel):
    """What is under the cursor, in a height that does not jump at every key."""

    shrinks = False
