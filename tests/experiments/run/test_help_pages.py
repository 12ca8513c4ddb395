"""The short help: few flags, in groups, with their defaults."""

import pytest
from absl import flags

from experiments.run import help_pages
from tests.experiments import script


@pytest.fixture
def some_flags(monkeypatch):
  """Flags of their own, in place of absl's."""
  values = flags.FlagValues()
  flags.DEFINE_integer('seed', 3, 'Seed.', flag_values=values)
  flags.DEFINE_bool('quick', False, 'Ends early.', flag_values=values)
  flags.DEFINE_enum('scale', 'std', ['std', 'none'], 'How.', flag_values=values)
  flags.DEFINE_multi_integer('chunk', [1, 2], 'Many.', flag_values=values)
  flags.DEFINE_string(
    'a_name_that_takes_more_than_a_column', None, 'Long. ' * 20,
    flag_values=values,
  )  # fmt: skip
  monkeypatch.setattr(help_pages.flags, 'FLAGS', values)
  return list(values)


def test_a_page(some_flags):
  groups = {'Run': ('seed', 'quick'), 'Credit': ('scale', 'chunk')}
  assert help_pages.page('What it does.\n', groups, some_flags, 'python x') == (
    'What it does.\n\n'
    'Run\n'
    '  --seed=3                    Seed.\n'
    '  --quick=false               Ends early.\n\n'
    'Credit\n'
    '  --scale=std                 How. One of: std, none.\n'
    '  --chunk=1,2                 Many. May be given several times.\n\n'
    '1 more flags: python x --helpfull'
  )


def test_long_names_and_words_are_broken(some_flags):
  groups = {'Run': ('a_name_that_takes_more_than_a_column',)}
  lines = help_pages.page('', groups, some_flags, 'python x').splitlines()
  assert '  --a_name_that_takes_more_than_a_column=' in lines
  assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
  ('groups', 'words'),
  [
    ({'Run': ('seed', 'sed')}, r"names no flags: \['sed'\]"),
    ({'Run': ('seed',), 'More': ('seed',)}, 'stands twice'),
    ({'Run': tuple(map(str, range(41)))}, '41 flags are too many'),
  ],
)
def test_groups_that_do_not_fit(some_flags, groups, words):
  with pytest.raises(ValueError, match=words):
    help_pages.page('', groups, some_flags, 'python x')


def test_groups_of_several_modules():
  assert help_pages.merge(
    {'Run': ('a',), 'Credit': ('b',)}, {'Run': ('c',)}
  ) == {'Run': ('a', 'c'), 'Credit': ('b',)}


@pytest.mark.parametrize(
  ('arguments', 'asks'),
  [
    (['--help'], True),
    (['--seed=1', '-helpshort'], True),
    (['-?'], True),
    (['--helpfull'], False),
    (['--', '--help'], False),
    (['help'], False),
  ],
)
def test_who_asks(arguments, asks, capsys, monkeypatch):
  monkeypatch.setattr(
    help_pages.app, 'parse_flags_with_usage', lambda argv: argv
  )
  parse = help_pages.parser(lambda: 'the page')
  if asks:
    with pytest.raises(SystemExit) as end:
      parse(['x', *arguments])
    assert end.value.code == 0
    assert capsys.readouterr().out == 'the page\n'
  else:
    assert parse(['x', *arguments]) == ['x', *arguments]


@pytest.mark.system
@pytest.mark.parametrize('name', ['lare', 'dynlin_ucb', 'credit_accuracy'])
def test_as_a_user(name):
  done = script.run('--helpshort', module=f'experiments.{name}')
  assert done.returncode == 0, done.stderr
  named = [x for x in done.stdout.splitlines() if x.startswith('  --')]
  assert 10 <= len(named) <= help_pages.MOST
  assert f'more flags: python -m experiments.{name} --helpfull' in done.stdout
