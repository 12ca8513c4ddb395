"""Charts: where points come to lie, and that labels stay text."""

import json
import re

import pytest

from jaxcredit.reports import svg_chart
from tests.reports import run_files
from tests.reports import test_page as run_page

# Inside of the axes: x from 44 to 332, y from 178 up to 8.


def draw(*curves, **options):
  return str(svg_chart.draw(svg_chart.Panel('title', 'x', curves, **options)))


def paths(text, name):
  return re.findall(rf'<path class="{name}[^"]*"[^>]* d="(M[^"]*)"', text)


def test_points_lie_where_the_axes_say():
  text = draw(svg_chart.Curve('a', [0, 5, 10], [0, 1, 2]))
  assert paths(text, 'curve')[0] == 'M44.0 178.0L188.0 93.0L332.0 8.0'


def test_the_floor_is_on_the_axis():
  text = draw(svg_chart.Curve('a', [0, 1], [1, 2]), floor=0)
  assert paths(text, 'curve')[0] == 'M44.0 93.0L332.0 8.0'


def test_a_band_goes_there_above_and_back_below():
  curve = svg_chart.Curve('a', [0, 1], [1, 1], low=[0, 0.5], high=[2, 1.5])
  (band,) = paths(draw(curve), 'band')
  assert band == 'M44.0 8.0L332.0 50.5L332.0 135.5L44.0 178.0Z'


def test_steps_hold_until_the_next_value():
  curve = svg_chart.Curve('a', [0, 1, 2], [0, 2, 1], kind='steps')
  assert paths(draw(curve), 'curve')[0] == (
    'M44.0 178.0L188.0 178.0L188.0 8.0L332.0 8.0L332.0 93.0'
  )


def test_logarithmic_axes_leave_out_what_has_no_place():
  curve = svg_chart.Curve('a', [0, 1, 10, 100], [5, 1, 10, 100])
  text = draw(curve, logarithmic=True)
  assert paths(text, 'curve')[0] == 'M44.0 178.0L188.0 93.0L332.0 8.0'


def test_one_point_is_a_mark_in_the_middle():
  text = draw(svg_chart.Curve('a', [3], [7]))
  assert '<circle class="f0" cx="188.0" cy="93.0"' in text


def test_nothing_to_draw():
  assert draw() == ''
  assert draw(svg_chart.finite('a', [(0, None), (1, float('nan'))])) == ''


def test_values_that_are_no_numbers_are_gaps():
  curve = svg_chart.finite('a', [(0, 1), (1, None), (2, float('inf')), (3, 2)])
  assert (curve.x, curve.y) == ([0, 3], [1, 2])


def test_labels_stay_text():
  curve = svg_chart.Curve(run_files.SCRIPT, [0, 1], [0, 1])
  text = str(
    svg_chart.draw(svg_chart.Panel(run_files.IMAGE, run_files.SCRIPT, [curve]))
  )
  assert '<script' not in text and '<img' not in text
  # The script that reads the attribute gets what was meant.
  (chart,) = run_page.Elements(text).of_class('chart')
  data = json.loads(chart['data-chart'])
  assert data['curves'][0]['label'] == run_files.SCRIPT
  assert data['curves'][0]['y'] == [0, 1]


def test_numbers_stand_below_for_those_who_cannot_see():
  curve = svg_chart.Curve('a', [0, 1], [0.5, -2], low=[0, -3], high=[1, 0])
  cells = run_page.Elements(draw(curve)).cells
  assert cells == ['a', '0', '0.5', '0 to 1', 'a', '1', '−2', '−3 to 0']


def test_long_curves_keep_their_last_point():
  text = draw(svg_chart.Curve('a', list(range(1000)), list(range(1000))))
  (line,) = [p for p in paths(text, 'curve') if p != 'M0 6H26']
  assert line.count('L') + 1 <= 301
  assert line.endswith('L332.0 8.0')
  assert len(run_page.Elements(text).cells) <= 3 * 13


def test_36_curves_are_all_unlike():
  text = draw(*[svg_chart.Curve(str(i), [0, 1], [0, i]) for i in range(36)])
  strokes = re.findall(r'class="(curve s\d)" stroke-dasharray="([^"]*)" d="M4',
                       text)  # fmt: skip
  assert len(strokes) == len(set(strokes)) == 36


@pytest.mark.parametrize(
  ('low', 'high', 'expected'),
  [
    (0, 10, [0, 2, 4, 6, 8, 10]),
    (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    (-3.2, 4.1, [-2, 0, 2, 4]),
    (17, 43, [20, 30, 40]),
  ],
)
def test_ticks_are_round(low, high, expected):
  assert svg_chart.ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
  ('value', 'text'),
  [(0, '0'), (-1.5, '−1.5'), (12345.6, '12,346'), (1e-5, '1.0e−05'),
   (0.123456, '0.1235')],
)  # fmt: skip
def test_numbers_as_people_read_them(value, text):
  assert svg_chart.number(value) == text
