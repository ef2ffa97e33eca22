"""Small plots as SVG text: axes, lines, dots and words, equal bytes for equal numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

INK = "#1f2937"
FAINT = "#9ca3af"
BLUE = "#2563eb"
ORANGE = "#ea580c"
GREEN = "#16a34a"
VIOLET = "#7c3aed"

Numbers = Sequence[float]


@dataclass
class Canvas:
    """A picture of a fixed size, light enough to be read on any page."""

    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 12,
        fill: str = INK,
        anchor: str = "start",
    ) -> None:
        """Write words with their baseline at (x, y)."""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}">{escape(words)}</text>'
        )

    def line(
        self,
        xs: Numbers,
        ys: Numbers,
        colour: str,
        *,
        width: float = 1.5,
        dashes: str = "",
        opacity: float = 1.0,
    ) -> None:
        """Draw a line through points given in pixels."""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-linejoin="round" opacity="{opacity}"{dash}/>'
        )

    def dot(self, x: float, y: float, colour: str, *, radius: float = 3.5) -> None:
        """Draw a filled dot."""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def write(self, path: Path) -> None:
        """Write the picture as a file."""
        body = "\n".join(self.parts)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="sans-serif">\n'
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>\n{body}\n</svg>\n',
            encoding="utf-8",
        )


@dataclass
class Plot:
    """Axes inside a canvas: numbers in, pixels out."""

    canvas: Canvas
    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def frame(self, x_ticks: Numbers, y_ticks: Numbers, x_name: str, y_name: str) -> None:
        """Draw the axes with their ticks and names."""
        right, bottom = self.left + self.width, self.top + self.height
        for value in y_ticks:
            at = self.py(value)
            self.canvas.line((self.left, right), (at, at), "#e5e7eb", width=1)
            self.canvas.text(self.left - 6, at + 4, f"{value:g}", size=11, anchor="end")
        for value in x_ticks:
            at = self.px(value)
            self.canvas.line((at, at), (bottom, bottom + 4), FAINT, width=1)
            self.canvas.text(at, bottom + 17, f"{value:g}", size=11, anchor="middle")
        self.canvas.line((self.left, self.left, right), (self.top, bottom, bottom), FAINT, width=1)
        self.canvas.text((self.left + right) / 2, bottom + 34, x_name, anchor="middle")
        self.canvas.text(self.left, self.top - 8, y_name)

    def px(self, value: float) -> float:
        """Return the pixel of a number on the x axis."""
        low, high = self.x
        return self.left + self.width * (value - low) / (high - low)

    def py(self, value: float) -> float:
        """Return the pixel of a number on the y axis."""
        low, high = self.y
        return self.top + self.height * (1 - (value - low) / (high - low))

    def line(
        self, xs: Numbers, ys: Numbers, colour: str, *, width: float = 1.5, dashes: str = ""
    ) -> None:
        """Draw a line through points."""
        self.canvas.line(
            [self.px(x) for x in xs], [self.py(y) for y in ys], colour, width=width, dashes=dashes
        )

    def dots(self, xs: Numbers, ys: Numbers, colour: str, *, radius: float = 3.5) -> None:
        """Draw dots."""
        for x, y in zip(xs, ys, strict=True):
            self.canvas.dot(self.px(x), self.py(y), colour, radius=radius)

    def level(self, y: float, colour: str, words: str, *, left: bool = False) -> None:
        """Draw a dashed level across the plot, with its name at one end."""
        self.line(self.x, (y, y), colour, width=1.2, dashes="5 4")
        x = self.left + (4 if left else self.width - 4)
        anchor = "start" if left else "end"
        self.canvas.text(x, self.py(y) - 4, words, size=11, fill=colour, anchor=anchor)
