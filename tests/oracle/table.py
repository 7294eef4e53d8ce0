"""The table of docs/networks.md: a row for each network, between two markers."""

import dataclasses
import pathlib

BEGIN, END = "<!-- table: written by tests/oracle/compare.py -->", "<!-- end of table -->"
TITLES = ["network", "source", "input", "parameters", "GMACs", "error", "error, other size", "compile, s", "code, kB"]


def significant(value):
    """Three digits, without an exponent."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


@dataclasses.dataclass
class Row:
    name: str
    source: str  # relative to the page
    shape: tuple[int, ...]
    parameters: int
    macs: int
    error: float  # of the largest logit
    odd_size: int | None
    odd_error: float | None
    seconds: float  # of processor time to compile
    code: int  # bytes

    def cells(self):
        odd = f"{self.odd_error:.1e} ({self.odd_size})" if self.odd_error is not None else ""
        return [
            self.name,
            f"[{pathlib.PurePath(self.source).name}]({self.source})",
            "x".join(str(extent) for extent in self.shape),
            f"{significant(self.parameters / 1e6)} M" if self.parameters >= 1e5 else f"{self.parameters}",
            significant(self.macs / 1e9),
            f"{self.error:.1e}",
            odd,
            f"{self.seconds:.1f}",
            f"{self.code / 1e3:.0f}",
        ]

    def text(self):
        return aligned(self.cells())

    @staticmethod
    def titles():
        return aligned(TITLES)


def aligned(cells):
    widths = [34, 0, 14, 10, 8, 8, 14, 9, 8]
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths) if width)


def update(page, row, names):
    """Puts ROW into the page's table beside those that it has; NAMES are all that there may be, in order."""
    before, rest = page.read_text().split(BEGIN)
    table, after = rest.split(END)
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    lines[row.name] = "| " + " | ".join(row.cells()) + " |"
    head = "| " + " | ".join(TITLES) + " |\n|---|---|---|" + "---:|" * (len(TITLES) - 3)
    body = "\n".join(lines[name] for name in names if name in lines)
    page.write_text(f"{before}{BEGIN}\n{head}\n{body}\n{END}{after}")
