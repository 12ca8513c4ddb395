"""The page of prefix trees: what it shows, and that no text in it is obeyed."""

import re

import pytest

from jaxcredit.reports import (
  credit_colours,
  prefix_tree,
  prefix_tree_records,
  visible_text,
)
from tests.reports import prefix_tree_groups
from tests.reports import test_page as run_page


@pytest.fixture(scope='module')
def pens():
  return prefix_tree.render([prefix_tree_groups.pens()])


@pytest.fixture(scope='module')
def odd():
  return prefix_tree.render([prefix_tree_groups.odd()])


@pytest.fixture(scope='module')
def large():
  return prefix_tree.render([prefix_tree_groups.large()])


def tree_lines(page):
  """Rows of the tree as text, tags left out."""
  rows = re.findall(
    r'class="row">(.*?)(?:</summary>|</div></div>)', page, re.DOTALL
  )
  return [re.sub(r'\s+', ' ', re.sub(r'<[^>]*>', ' ', r)).strip() for r in rows]


def test_the_tree_shows_values_counts_td_and_ends(pens):
  assert tree_lines(pens) == [
    'V 0.25 ×4 so we',
    'V 0.333 ×3 +0.0833 multiply [36]',
    # An answer that ends where two others go on.
    'end here: #3 reward 0, ended',
    'V 0.5 ×2 +0.167 it is',
    'V 1 ×1 +0.5 36 #0 reward 1, ended',
    'V 0 ×1 −0.5 15 #1 reward 0, ended',
    'V 0 ×1 −0.25 add [15] it is 15 #2 reward 0, cut',
  ]


def test_what_the_environment_changes_is_luck_and_no_td():
  group = prefix_tree_records.with_tempo(
    prefix_tree_records.Group(
      'q',
      [
        prefix_tree_groups.answer('call [1] yes', 1.0),
        prefix_tree_groups.answer('call [2] no', 0.0),
      ],
    )
  )
  page = prefix_tree.render([group])
  assert tree_lines(page) == [
    'V 0.5 ×2 call',
    'V 1 ×1 (+0.5) [1] yes #0 reward 1, ended',
    'V 0 ×1 (−0.5) [2] no #1 reward 0, ended',
  ]
  assert page.count('class="td none"') == 2
  assert 'TD at a branch 0 throughout' in page


def test_folds_are_nested_as_the_tree_is(pens, large):
  groups = prefix_tree_groups.pens(), prefix_tree_groups.large()
  for page, group in zip((pens, large), groups, strict=True):
    tree = page.partition('<h3>Answers')[0]
    depth, depths = 0, []
    for tag in re.findall('<details class="node|<div class="leaf|</det', tree):
      if tag == '</det':
        depth -= 1
        continue
      depths.append(depth)
      depth += tag.startswith('<details')
    assert depth == 0
    assert depths == [n.depth for n in prefix_tree_records.nodes(group)]


def test_each_token_has_its_credit(pens):
  tokens = [
    a for a in run_page.Elements(pens).named('i') if 'own' in a.get('class', '')
  ]
  group = prefix_tree_groups.pens()
  assert len(tokens) == sum(sum(a.mask) for a in group.answers)
  # The third token of the first answer: 'multiply', a branch.
  assert tokens[2]['title'].startswith('token 2, id ')
  assert tokens[2]['data-td'] == '+0.0833'
  total, td = group.answers[0].total[2], group.answers[0].td[2]
  assert f'total {total:+.3g}, TD {td:+.3g}, GRPO +1.5' in tokens[2]['title']
  assert 'V 0.25 → 0.333' in tokens[2]['title']
  largest = max(abs(t) for a in group.answers for t in a.total)
  index = credit_colours.credit_index(total, largest)
  td_index = credit_colours.credit_index(td, 0.5)
  assert tokens[2]['class'] == f'own t{index} d{td_index} branch'
  shown = re.findall(r'<i class="environment" title="(.*?)"', pens)
  assert len(shown) == 4
  assert shown[0].endswith('of the environment: no credit')


def test_the_page_needs_nothing_from_outside(pens, odd):
  for text in (pens, odd):
    elements = run_page.Elements(text)
    for tag, attributes in elements.tags:
      assert tag not in ('script', 'link', 'iframe', 'object', 'img', 'base')
      for name, value in attributes.items():
        assert not name.startswith('on'), (tag, name)
        if name in ('src', 'href', 'action', 'data', 'srcset', 'formaction'):
          assert value.startswith('#'), (tag, name, value)
    assert not re.search(r'https?://|url\(|@import', text)
    (policy,) = [a for a in elements.named('meta') if 'http-equiv' in a]
    assert policy['content'].startswith("default-src 'none';")
    assert 'script-src' not in policy['content']


def test_links_lead_to_answers(pens):
  elements = run_page.Elements(pens)
  targets = {a['id'] for _, a in elements.tags if 'id' in a}
  links = [a['href'][1:] for a in elements.named('a')]
  assert sorted(links) == ['g1-0', 'g1-1', 'g1-2', 'g1-3']
  assert set(links) <= targets


def test_hostile_text_stays_text(odd):
  assert prefix_tree_groups.SCRIPT not in odd and '<img' not in odd
  escaped = prefix_tree_groups.SCRIPT.replace('<', '&lt;').replace('>', '&gt;')
  # The question, the tree and the answer.
  assert odd.count(escaped.replace("'", '&#39;')) == 3
  # Nothing hidden is left, and the page can be encoded.
  odd.encode('utf-8')
  assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\uffff]', odd)
  codes = '⟨U+0000⟩⟨U+001B⟩[31m⟨U+007F⟩⟨U+0085⟩⟨U+202E⟩⟨U+2028⟩⟨U+D83D⟩⟨U+FFFF⟩'
  assert odd.count(codes) == 2
  assert 'שלום' in odd
  # A token without a text is shown by its id.
  assert odd.count(f'⟨{4 + 2**70}⟩') == 2


def test_visible_text():
  assert visible_text.one_line('a\n\tb\r') == 'a↵⇥b⟨U+000D⟩'
  assert visible_text.lines('a\n\nb\n') == 'a↵\n↵\nb↵\n'
  assert visible_text.lines('a\nb', mark='') == 'a\nb'
  family = '👩\u200d👧'
  assert visible_text.one_line(family) == family


def test_long_answers_are_runs_of_one_credit(large):
  group = prefix_tree_groups.large()
  tokens = sum(len(a.tokens) for a in group.answers)
  assert tokens == 65536
  # At most two for each branch token, and one before them.
  pieces = large.count('<i class="own')
  branches = sum(sum(a.branch) for a in group.answers)
  assert pieces <= 2 * branches + 64 and pieces < tokens / 10
  assert len(run_page.Elements(large).tags) < 8000
  # Nothing of the text is lost.
  assert all(f' {640_000 + t}' in large for t in range(641, 1024))
  # In the tree the middle of a run is.
  longest = max(map(len, tree_lines(large)))
  assert longest < 250 and ' tokens …' in large


def test_groups_without_a_difference_or_a_tree():
  same = prefix_tree_records.with_tempo(
    prefix_tree_records.Group('q', [prefix_tree_groups.answer('a b', 1.0)] * 2)
  )
  page = prefix_tree.render([same])
  assert tree_lines(page) == [
    'V 1 ×2 a b #0 reward 1, ended #1 reward 1, ended'
  ]
  assert 'total 0 throughout' in page
  nothing = prefix_tree_records.with_tempo(
    prefix_tree_records.Group('q', [prefix_tree_groups.answer('[a]', 1.0)])
  )
  page = prefix_tree.render([nothing])
  assert 'there is no tree' in page
  assert 'no token of the policy, no part of the tree' in page
  with pytest.raises(ValueError, match='no group'):
    prefix_tree.render([])


def test_the_first_groups_are_shown():
  page = prefix_tree.render([prefix_tree_groups.pens()] * 3, group_limit=2)
  assert page.count('<section') == 2
  assert '3 groups of answers, of which the first 2 are shown' in page


def luminance(colour):
  parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
  linear = [
    p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
  ]
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize('theme', credit_colours.THEMES)
def test_text_can_be_read_on_every_colour(theme):
  ink = luminance(credit_colours.THEMES[theme]['text'])
  scales = credit_colours.credit_scale(theme), credit_colours.value_scale(theme)
  for colour in (*scales[0], *scales[1]):
    low, high = sorted((luminance(colour), ink))
    assert (high + 0.05) / (low + 0.05) >= 4.5, colour


def test_colours_of_credit():
  index = credit_colours.credit_index
  assert [index(x, 2.0) for x in (-2, -1, -1e-9, 0, 1e-9, 1, 5)] == [
    *(0, 5, 9, 10, 11, 15, 20)
  ]
  assert index(0.0, 0.0) == 10
  value = credit_colours.value_index
  assert [value(x, 0, 1) for x in (-1, 0, 0.5, 1)] == [0, 0, 5, 10]
  assert value(3.0, 3.0, 3.0) == 5
  assert credit_colours.credit_scale('light')[10] == '#ffffff'


def test_the_command(tmp_path, capsys):
  file = tmp_path / prefix_tree_records.NAME
  prefix_tree_records.append(file, [prefix_tree_groups.odd()])
  assert prefix_tree.main([str(tmp_path)]) == 0
  page = tmp_path / 'prefix_trees.html'
  assert capsys.readouterr().out == f'{page}\n'
  assert page.read_text(encoding='utf-8').startswith('<!doctype html>')
  other = tmp_path / 'other.html'
  assert prefix_tree.main([str(file), f'--output={other}']) == 0
  assert other.exists()


@pytest.mark.parametrize(
  ('content', 'arguments', 'message'),
  [
    ('{}\n', [], 'trees.jsonl:1: the group lacks answers, question'),
    ('', [], 'trees.jsonl holds no group'),
    (None, [], 'trees.jsonl is no file'),
    ('', ['--group_limit=0'], '--group_limit is 0; 1 is the least'),
    ('', ['--output={file}'], 'the page would replace'),
  ],
)
def test_errors_of_the_command(tmp_path, capsys, content, arguments, message):
  file = tmp_path / 'trees.jsonl'
  if content is not None:
    file.write_text(content)
  arguments = [a.format(file=file) for a in arguments]
  assert prefix_tree.main([str(file), *arguments]) == 1
  error = capsys.readouterr().err
  assert error.startswith('error: ') and message in error
  assert not (tmp_path / 'trees.html').exists()


def screenshot(folder, name, text, *options):
  """Rows of the picture that a browser makes of a page."""
  page, picture = folder / f'{name}.html', folder / f'{name}.png'
  page.write_text(text, encoding='utf-8')
  result = run_page.chromium(
    f'--screenshot={picture}',
    '--window-size=1000,1200',
    f'--user-data-dir={folder / "profile"}',
    *options,
    page.as_uri(),
  )
  assert result.returncode == 0, result.stderr
  return run_page.unfiltered_rows(picture)[2]


def test_a_browser_draws_the_credit_that_is_chosen(tmp_path, pens):
  switched = {'total': pens}
  for name in ('td', 'grpo'):
    text = pens.replace('id="by-total" checked', 'id="by-total"')
    switched[name] = text.replace(f'id="by-{name}"', f'id="by-{name}" checked')
  rows = {
    name: screenshot(tmp_path, name, text) for name, text in switched.items()
  }
  assert len(set(rows['total'])) > 300
  changed = [
    sum(a != b for a, b in zip(rows['total'], rows[name], strict=True))
    for name in ('td', 'grpo')
  ]
  # More than the dot of the switch, which is some 15 rows high.
  assert min(changed) > 60
  dark = screenshot(
    tmp_path, 'dark', pens, '--blink-settings=preferredColorScheme=0'
  )
  differ = sum(a != b for a, b in zip(dark, rows['total'], strict=True))
  assert differ > max(400, *changed)


def dom(folder, text, fragment=''):
  page = folder / 'page.html'
  page.write_text(text, encoding='utf-8')
  result = run_page.chromium(
    '--dump-dom',
    f'--user-data-dir={folder / "profile"}',
    page.as_uri() + fragment,
  )
  assert result.returncode == 0, result.stderr
  return result.stdout


def test_a_browser_runs_nothing_of_the_text(tmp_path, odd):
  shown = dom(tmp_path, odd)
  assert re.search(r'<title>(.*?)</title>', shown)[1] == 'Prefix trees'
  elements = run_page.Elements(shown)
  assert not elements.named('script') and not elements.named('img')
  assert len(elements.of_class('own')) == 9


def test_a_browser_opens_a_large_page_at_an_answer(tmp_path, large):
  shown = dom(tmp_path, large, '#g1-63')
  elements = run_page.Elements(shown)
  assert len(elements.of_class('leaf')) == 64
  assert len(elements.of_class('node')) == 63
  # Answers are folded, but for the one that the link leads to.
  opened = [a for a in elements.of_class('answer') if 'open' in a]
  assert len(elements.of_class('answer')) == 64 and len(opened) == 1
  # As deep as it was written.
  assert shown.count('</details>') == large.count('</details>')
