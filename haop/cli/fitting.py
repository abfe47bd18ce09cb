"""Tables that fit the terminal: nothing that matters is cut, and what matters least is left out first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_FOLDED = 24  # a column of sentences is worth showing from that width on


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and how its cells are shown."""

    heading: str
    figures: bool = False
    folds: bool = False  # sentences; else a cell is one line, whole
    left_out: int = 0  # where there is too little room: 1 first, then 2, ...; 0 never


@dataclass
class Fitting:
    """A table whose columns depend on the width that it is drawn at."""

    columns: Sequence[Column]
    rows: list[tuple[str | Text, ...]] = field(default_factory=list)

    def add_row(self, *cells: str | Text) -> None:
        """One cell for each column."""
        self.rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich asks for it: headings of several words are broken first, then columns are left out."""
        shown = list(range(len(self.columns)))
        broken = self._width(shown, broken=False) > options.max_width
        for index in sorted((i for i in shown if self.columns[i].left_out), key=lambda i: self.columns[i].left_out):
            if self._width(shown, broken=broken) <= options.max_width:
                break
            shown.remove(index)
        yield self._table(shown, broken=broken, whole=self._width(shown, broken=broken) <= options.max_width)

    def _heading(self, index: int, *, broken: bool) -> str:
        heading = self.columns[index].heading
        return heading.replace(" ", "\n") if broken else heading

    def _width(self, shown: Sequence[int], *, broken: bool) -> int:
        def width(index: int) -> int:
            cells = [self._heading(index, broken=broken), *(str(row[index]) for row in self.rows)]
            longest = max(cell_len(line) for cell in cells for line in cell.splitlines() or [""])
            return min(longest, _FOLDED) if self.columns[index].folds else longest

        return sum(width(index) + 2 for index in shown) + 1  # its padding and the box's blank, and one at the left

    def _table(self, shown: Sequence[int], *, broken: bool, whole: bool) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for index in shown:
            column = self.columns[index]
            table.add_column(
                self._heading(index, broken=broken), justify="right" if column.figures else "left", overflow="fold",
                no_wrap=whole and not column.folds,
            )  # fmt: skip
        for row in self.rows:
            table.add_row(*(row[index] for index in shown))
        return table
