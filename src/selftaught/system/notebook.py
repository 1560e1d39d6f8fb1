"""A line below a notebook's cell that is written anew, as a notebook keeps every line that is printed."""

from uuid import uuid4

from markupsafe import Markup

from selftaught.system import clock

EVERY = 0.5  # seconds between two writings at the least: each is a message to whatever shows the notebook


class Line:
    """One line, with a bar before it where that can be shown. It is not there before it has something to say."""

    def __init__(self) -> None:
        self._id, self._written = "", clock.now()

    @property
    def is_due(self) -> bool:
        """Whether it may be written anew already."""
        return clock.now() - self._written >= EVERY

    @property
    def is_there(self) -> bool:
        """Whether anybody has seen it."""
        return bool(self._id)

    def write(self, text: str, done: float, total: int) -> None:
        """Put this in its place: a text, beside a bar for so much of the whole."""
        from IPython.display import display, update_display  # it is there where there is a notebook

        bar = Markup("<progress max='{}' value='{}'></progress> {}").format(total, done, text)
        shown = {"text/plain": text, "text/html": str(bar)}
        self._written = clock.now()
        if self._id:
            update_display(shown, raw=True, display_id=self._id)
        else:
            self._id = uuid4().hex
            display(shown, raw=True, display_id=self._id)
