"""The domains that scripts train on, by their flags."""

import dataclasses

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.domains import household as household_tasks
from experiments.domains import shop as shop_tasks
from experiments.domains import virtualhome as virtualhome_tasks
from tests.experiments import imported_script, test_gigpo_script

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
}
# Flags that change another field too: without a file, tasks are generated.
MORE = {
  'problems': {'evaluation_count'},
  'games': {'generated_games'},
  'evaluate_on': {'evaluation_count'},
}


@pytest.fixture(scope='module', params=['experiments.gigpo', 'experiments.spa'])
def script(request):
  with imported_script.imported(request.param) as module:
    yield module


@pytest.mark.parametrize('name', DOMAINS)
def test_a_domain_is_chosen(script, name):
  options, domain = DOMAINS[name]
  with flagsaver.as_parsed(domain=name):
    assert isinstance(script.domain_flags.options(), options)
    assert type(script.domain_flags.domain()) is domain


def test_those_are_all(script):
  assert list(DOMAINS) == list(script.domain_flags.DOMAINS)
  flag = flags.FLAGS['domain']
  assert flag.parser.enum_values == list(DOMAINS)


@pytest.mark.parametrize('name', DOMAINS)
def test_every_flag_sets_its_field_and_no_other(script, name):
  by_module = flags.FLAGS.flags_by_module_dict()
  own = [
    *by_module[f'experiments.{name}_flags'],
    flags.FLAGS['warm_start_slips'],
  ]
  if name != 'shop':
    own.append(flags.FLAGS['anchor'])
  seen = {'evaluation_count'}
  with flagsaver.as_parsed(domain=name):
    before = dataclasses.asdict(script.domain_flags.options())
    for flag in own:
      with flagsaver.as_parsed(**{flag.name: test_gigpo_script.another(flag)}):
        after = dataclasses.asdict(script.domain_flags.options())
      changed = {field for field in before if before[field] != after[field]}
      assert changed == {flag.name} | MORE.get(flag.name, set()), flag.name
      seen |= changed
    with flagsaver.as_parsed(evaluation_count='7'):
      assert script.domain_flags.options().evaluation_count == 7
  assert seen == before.keys()


def test_the_shop_has_one_kind_of_anchor(script):
  with flagsaver.as_parsed(domain='shop', anchor='state'):
    with pytest.raises(ValueError, match='--anchor=state is not for the shop'):
      script.domain_flags.options()
