"""The domains that scripts train on, by their flags."""

import dataclasses

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.domains import household as household_tasks
from experiments.domains import questions as question_tasks
from experiments.domains import shop as shop_tasks
from experiments.domains import virtualhome as virtualhome_tasks
from experiments.run import option_flags
from tests.experiments import imported_script

DOMAINS = {
  'household': (
    household_tasks.HouseholdOptions,
    household_tasks.HouseholdDomain,
  ),
  'virtualhome': (
    virtualhome_tasks.VirtualHomeOptions,
    virtualhome_tasks.VirtualHomeDomain,
  ),
  'shop': (shop_tasks.ShopOptions, shop_tasks.ShopDomain),
  'questions': (
    question_tasks.QuestionOptions,
    question_tasks.QuestionDomain,
  ),
}


@pytest.fixture(scope='module')
def domain_flags():
  with imported_script.imported('experiments.domains.flags') as module:
    yield module


def another(field: dataclasses.Field) -> str:
  """A value that is not the default, as one would type it."""
  default, choices = field.default, field.metadata['choices']
  if choices:
    return choices[(choices.index(default) + 1) % len(choices)]
  if isinstance(default, bool):
    return 'false' if default else 'true'
  if isinstance(default, int):
    return str(default + 1)
  if isinstance(default, float):
    return str(default / 2)
  return '/another' if default is None or isinstance(default, str) else 'q,v'


@pytest.mark.parametrize('name', DOMAINS)
def test_a_domain_is_chosen(domain_flags, name):
  options, domain = DOMAINS[name]
  with flagsaver.as_parsed(domain=name):
    assert type(domain_flags.domain(9, 3)) is domain
  assert type(domain_flags.OPTIONS.read(name)) is options


def test_those_are_all(domain_flags):
  assert list(DOMAINS) == list(domain_flags.DOMAINS)
  flag = flags.FLAGS['domain']
  assert flag.parser.enum_values == list(DOMAINS)


@pytest.mark.parametrize('name', DOMAINS)
def test_defaults_are_those_of_the_options(domain_flags, name):
  assert domain_flags.OPTIONS.read(name) == DOMAINS[name][0]()


@pytest.mark.parametrize('name', DOMAINS)
def test_every_flag_sets_its_field_and_no_other(domain_flags, name):
  options = DOMAINS[name][0]
  before = dataclasses.asdict(options())
  for field in dataclasses.fields(options):
    assert len(field.metadata['help']) >= 9, field.name
    assert name in flags.FLAGS[field.name].help
    typed = another(field)
    with flagsaver.as_parsed(domain=name, **{field.name: typed}):
      after = dataclasses.asdict(domain_flags.OPTIONS.read(name))
    changed = {field for field in before if before[field] != after[field]}
    assert changed == {field.name}


def test_a_run_is_made_again_from_what_it_recorded(domain_flags):
  config = {'domain': 'shop', 'max_steps': 7, 'seed': 5, 'products': 40,
            'games': 'of another domain', 'results_per_page': None}  # fmt: skip
  made = domain_flags.recorded(config)
  assert type(made) is shop_tasks.ShopDomain
  assert made.environment().keywords == {
    'products': 40, 'wording': 'compact', 'results_per_page': 10,
    'reward': 'score', 'max_steps': 7,
  }  # fmt: skip
  # Lists of JSON are tuples again.
  config = {'domain': 'questions', 'max_steps': 7, 'seed': 5,
            'tasks': ['gsm8k', 'svamp']}  # fmt: skip
  union = option_flags.UnionFlags(domain_flags.OPTIONS.kinds, {})
  assert union.recorded('questions', config).tasks == ('gsm8k', 'svamp')


def test_values_that_are_not_allowed(domain_flags):
  with pytest.raises(flags.IllegalFlagValueError, match='warm_start_slips'):
    with flagsaver.as_parsed(warm_start_slips='0.95'):
      pass
  with flagsaver.as_parsed(generated_problems='0'):
    with pytest.raises(ValueError, match='without recorded problems some must'):
      domain_flags.OPTIONS.read('virtualhome')
    # Of a domain that is not played no flag is looked at.
    assert domain_flags.OPTIONS.read('questions')
