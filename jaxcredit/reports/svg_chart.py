"""Charts of curves as SVG inside a page: readable on a phone, light or dark.

A chart is as wide as a phone, so that its letters keep their size; colours come
from the page. Curves differ by their dashes as well as by colour, and all that
a chart shows stands in a table below it, for whoever cannot see it. What the
pointer reads off is data in an attribute: a script writes it as text.
"""

import dataclasses
import json
import math
from collections.abc import Sequence

import markupsafe

WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 332, 8, 178
COLOURS = 6
_DASHES = ('', '7 3', '2 2', '9 3 2 3', '4 2', '1 3')
# A curve is drawn by no more points, and told in no more numbers.
_POINTS, _NUMBERS = 300, 12

_format = markupsafe.Markup


@dataclasses.dataclass(frozen=True)
class Curve:
  """One curve of a panel.

  Attributes:
    label: its name.
    x: rising; finite.
    y: as many; finite.
    low: lower end of its band, as many; None where it has no band.
    high: upper end.
    kind: 'line', 'faint' for what another line is the mean of, 'marks' for
      points alone, 'steps' for a value that holds until the next one.
  """

  label: str
  x: Sequence[float]
  y: Sequence[float]
  low: Sequence[float] | None = None
  high: Sequence[float] | None = None
  kind: str = 'line'


@dataclasses.dataclass(frozen=True)
class Panel:
  """A chart.

  Attributes:
    title: what is drawn, with its unit.
    x_label: of the horizontal axis.
    curves: those without a point are left out.
    floor: a value that the vertical axis reaches down to; None for none.
    logarithmic: both axes; what is not positive is left out.
  """

  title: str
  x_label: str
  curves: Sequence[Curve]
  floor: float | None = None
  logarithmic: bool = False


def finite(label: str, pairs, **options) -> Curve:
  """A curve of the pairs whose value is a finite number.

  Args:
    label: its name.
    pairs: of x and y; y may be None or NaN.
    **options: more of the curve.
  """
  kept = [(x, y) for x, y in pairs if y is not None and math.isfinite(y)]
  return Curve(label, [x for x, _ in kept], [y for _, y in kept], **options)


def number(value: float) -> str:
  """A number as people read it: four digits, a real minus sign."""
  if value and abs(value) < 1e-3:
    text = f'{value:.1e}'
  elif abs(value) >= 10_000:
    text = f'{value:,.0f}'
  else:
    text = f'{value:.4g}'
  return text.replace('-', '\u2212')


def ticks(low: float, high: float, count: int = 5) -> list[float]:
  """Round numbers in [low, high], `count` or so."""
  rough = (high - low) / count
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(f * power for f in (1, 2, 5, 10) if f * power >= 0.999 * rough)
  first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
  return [round(i * step, 12) for i in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
  """Powers of ten in [low, high]; the ends where there are not two."""
  first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
  every = max(1, (last - first) // 4)
  found = [10.0**i for i in range(first, last + 1, every)]
  return found if len(found) > 1 else [low, high]


class _Axis:
  """From values to places."""

  def __init__(self, values, start, end, logarithmic):
    self.logarithmic = logarithmic
    low, high = min(values), max(values)
    if high <= low:
      # One value: it stands in the middle.
      margin = abs(low) / 2 or 1.0
      low, high = low - margin / (1 + logarithmic), high + margin
    self.low, self.high, self._start, self._end = low, high, start, end

  def __call__(self, value: float) -> float:
    ends = (self.low, self.high, value)
    low, high, at = map(math.log, ends) if self.logarithmic else ends
    return self._start + (self._end - self._start) * (at - low) / (high - low)

  def ticks(self) -> list[float]:
    return (_powers if self.logarithmic else ticks)(self.low, self.high)


def _thinned(curve: Curve, size: int) -> Curve:
  """Every k-th point of a curve, and its last."""
  every = -(-len(curve.x) // size)
  if every <= 1:
    return curve
  kept = [i for i in range(len(curve.x)) if i % every == 0]
  if kept[-1] != len(curve.x) - 1:
    kept.append(len(curve.x) - 1)

  def chosen(values):
    return None if values is None else [values[i] for i in kept]

  parts = ('x', 'y', 'low', 'high')
  return dataclasses.replace(
    curve, **{name: chosen(getattr(curve, name)) for name in parts}
  )


def _drawable(panel: Panel) -> list[Curve]:
  """Curves with a point, in places that the axes have."""
  curves = []
  for curve in panel.curves:
    if panel.logarithmic:
      kept = [i for i, pair in enumerate(zip(curve.x, curve.y, strict=True))
              if min(pair) > 0]  # fmt: skip
      curve = Curve(
        curve.label,
        [curve.x[i] for i in kept],
        [curve.y[i] for i in kept],
        kind=curve.kind,
        **{
          end: [max(values[i], 1e-300) for i in kept]
          for end in ('low', 'high')
          if (values := getattr(curve, end)) is not None
        },
      )
    if len(curve.x):
      curves.append(_thinned(curve, _POINTS))
  return curves


def _path(points) -> str:
  return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points)


def _stroke(index: int, kind: str) -> markupsafe.Markup:
  """Class and dashes of the curve with an index: no two of 36 are alike."""
  if kind == 'faint':
    return _format('class="curve faint-curve"')
  dashes = _DASHES[(index + index // COLOURS) % len(_DASHES)]
  return _format('class="curve s{}" stroke-dasharray="{}"').format(
    index % COLOURS, dashes
  )


def _curve(index: int, curve: Curve, x: _Axis, y: _Axis) -> markupsafe.Markup:
  """Band, line and marks of a curve."""
  points = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=True)]
  parts = []
  if curve.low is not None:
    edge = list(zip(curve.x, curve.high, strict=True))
    edge += list(zip(curve.x, curve.low, strict=True))[::-1]
    band = _path([(x(a), y(b)) for a, b in edge])
    parts.append(
      _format('<path class="band f{}" d="{}Z"/>').format(index % COLOURS, band)
    )
  if curve.kind == 'steps':
    corners = [(b[0], a[1]) for a, b in zip(points, points[1:], strict=False)]
    woven = [p for pair in zip(points, corners, strict=False) for p in pair]
    path = _path([*woven, points[-1]])
  else:
    path = _path(points)
  if curve.kind != 'marks' and len(points) > 1:
    parts.append(
      _format('<path {} d="{}"/>').format(_stroke(index, curve.kind), path)
    )
  if curve.kind == 'marks' or len(points) == 1:
    parts += [
      _format(
        '<circle class="f{}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>'
      ).format(index % COLOURS, *point)
      for point in points
    ]  # fmt: skip
  return _format('').join(parts)


def _axes(panel: Panel, x: _Axis, y: _Axis) -> markupsafe.Markup:
  """Grid, numbers and the name of the horizontal axis."""
  parts = []
  for value in y.ticks():
    at = y(value)
    parts.append(
      _format(
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
      ).format(_LEFT, _RIGHT, at, at, _LEFT - 4, at + 4, number(value))
    )
  for value in x.ticks():
    # The last one ends with the picture, not behind it.
    last = x(value) > _RIGHT - 14
    parts.append(
      _format('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
        WIDTH - 1 if last else x(value),
        _BOTTOM + 14,
        'end' if last else 'middle',
        number(value),
      )
    )
  parts.append(
    _format('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
      (_LEFT + _RIGHT) / 2, HEIGHT - 3, panel.x_label
    )
  )
  return _format('').join(parts)


def _numbers(panel: Panel, curves: Sequence[Curve]) -> markupsafe.Markup:
  """A few points of each curve, as a table that needs no eyes."""
  banded = any(curve.low is not None for curve in curves)
  rows = []
  for curve in curves:
    few = _thinned(curve, _NUMBERS)
    for i, (a, b) in enumerate(zip(few.x, few.y, strict=True)):
      cells = [curve.label, number(a), number(b)]
      if banded:
        ends = '-'
        if few.low is not None:
          ends = f'{number(few.low[i])} to {number(few.high[i])}'
        cells.append(ends)
      rows.append(
        _format('<tr>{}</tr>').format(
          _format('').join(_format('<td>{}</td>').format(c) for c in cells)
        )
      )
  header = ['curve', panel.x_label, 'value', *(['band'] if banded else [])]
  return _format(
    '<details class="numbers-of"><summary>numbers</summary>'
    '<div class="scroll"><table><tr>{}</tr>{}</table></div></details>'
  ).format(
    _format('').join(_format('<th>{}</th>').format(h) for h in header),
    _format('').join(rows),
  )


def _legend(curves: Sequence[Curve]) -> markupsafe.Markup:
  entries = []
  for index, curve in enumerate(curves):
    swatch = _format('<path {} d="M0 6H26"/>').format(
      _stroke(index, curve.kind)
    )
    if curve.kind == 'marks':
      swatch = _format('<circle class="f{}" cx="13" cy="6" r="3.5"/>').format(
        index % COLOURS
      )
    entries.append(
      _format(
        '<span><svg viewBox="0 0 26 12" width="26" height="12" '
        'aria-hidden="true">{}</svg> {}</span>'
      ).format(swatch, curve.label)
    )
  return _format('<div class="legend">{}</div>').format(
    _format('').join(entries)
  )


def _data(curves: Sequence[Curve], x: _Axis) -> str:
  """What a script needs to tell the numbers below the pointer."""

  def short(values):
    return None if values is None else [float(f'{v:.5g}') for v in values]

  return json.dumps(
    {
      'width': WIDTH,
      'left': _LEFT,
      'right': _RIGHT,
      'low': x.low,
      'high': x.high,
      'logarithmic': x.logarithmic,
      'curves': [
        {
          'label': c.label,
          'x': short(c.x),
          'y': short(c.y),
          'low': short(c.low),
          'high': short(c.high),
        }
        for c in curves
      ],
    }
  )


def draw(panel: Panel) -> markupsafe.Markup:
  """A figure of HTML and SVG; nothing where the panel has no point."""
  curves = _drawable(panel)
  if not curves:
    return _format('')
  x = _Axis([v for c in curves for v in c.x], _LEFT, _RIGHT, panel.logarithmic)
  heights = [
    v for c in curves for part in (c.y, c.low, c.high)
    if part is not None for v in part
  ]  # fmt: skip
  if panel.floor is not None:
    heights.append(panel.floor)
  y = _Axis(heights, _BOTTOM, _TOP, panel.logarithmic)
  drawn = _format('').join(
    _curve(index, curve, x, y) for index, curve in enumerate(curves)
  )
  ends = '; '.join(f'{c.label} ends at {number(c.y[-1])}' for c in curves)
  return _format(
    '<figure class="chart" data-chart="{}"><figcaption>{}</figcaption>'
    '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}'
    '<line class="cursor" x1="0" x2="0" y1="{}" y2="{}"/></svg>'
    '{}<p class="reading"></p>{}</figure>'
  ).format(
    _data(curves, x), panel.title, WIDTH, HEIGHT, f'{panel.title}: {ends}',
    _axes(panel, x, y), drawn, _TOP, _BOTTOM, _legend(curves),
    _numbers(panel, curves),
  )  # fmt: skip
