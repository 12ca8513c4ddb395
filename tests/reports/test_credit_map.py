"""The map shows the credit it was given, and nothing where there is none."""

import numpy as np
import pytest
from matplotlib import figure

from jaxcredit.reports import credit_map

CREDIT = np.array([[1.0, -2.0, 0.0], [0.5, np.nan, np.inf]])
MASK = np.array([[True, True, True], [True, False, False]])


def drawn(*arguments, **options):
  axis = figure.Figure().subplots()
  credit_map.draw(axis, *arguments, **options)
  return axis


def test_cells_have_the_colour_of_their_credit():
  (image,) = drawn(CREDIT, MASK).images
  shown = image.get_array()
  np.testing.assert_array_equal(shown.mask, ~MASK)
  np.testing.assert_array_equal(shown.data[MASK], CREDIT[MASK])
  # Zero is the middle, and the largest credit the end.
  assert image.get_clim() == (-2.0, 2.0)
  blue, red = image.to_rgba(np.array([2.0, -2.0]))[:, [2, 0]]
  assert blue[0] > blue[1] and red[1] > red[0]


def test_words_stand_in_their_cells():
  words = [['a', 'b', 'c'], ['d', 'hidden', 'hidden']]
  axis = drawn(CREDIT, MASK, words=words, rows=['won', 'lost'], title='credit')
  assert {(t.get_text(), *t.get_position()) for t in axis.texts} == {
    ('a', 0, 0), ('b', 1, 0), ('c', 2, 0), ('d', 0, 1),
  }  # fmt: skip
  # White on dark ground alone.
  assert {t.get_text() for t in axis.texts if t.get_color() == 'white'} == {'b'}
  assert [t.get_text() for t in axis.get_yticklabels()] == ['won', 'lost']
  assert axis.get_title() == 'credit'


def test_maps_are_compared_by_one_limit():
  (image,) = drawn(CREDIT, MASK, limit=5.0).images
  assert image.get_clim() == (-5.0, 5.0)
  (image,) = drawn(np.zeros((2, 2))).images
  assert image.get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(
  ('arguments', 'options', 'message'),
  [
    ((CREDIT,), {}, 'not finite'),
    ((CREDIT, MASK[:1]), {}, r'\(2, 3\) and mask \(1, 3\)'),
    ((CREDIT[0],), {}, r'must be \[N, T\]'),
    ((CREDIT, MASK), {'rows': ['won']}, '1 names are given for 2 rows'),
  ],
)
def test_what_does_not_fit_is_said(arguments, options, message):
  with pytest.raises(ValueError, match=message):
    drawn(*arguments, **options)
