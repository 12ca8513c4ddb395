"""The table of methods: what every entry promises."""

import dataclasses
import pathlib
import re
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxcredit import methods
from tests.methods import batches, method_table

DOCS = pathlib.Path(__file__).parents[2] / 'docs'

over_table = pytest.mark.parametrize('name', methods.TABLE)


def prepared(name, made=None, **options):
  """A method, its options, and a batch for it."""
  method = methods.TABLE[name]
  options = method.options(**options)
  made = batches.batch() if made is None else made
  return method, options, batches.given(method, options, made)


def close(got, expected, tolerance=2e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(
      x, y, rtol=tolerance, atol=tolerance
    ),
    got,
    expected,
  )


def test_every_method_has_a_row_of_the_contract():
  assert method_table.TABLE.keys() == methods.TABLE.keys()


@over_table
def test_what_is_told_of_a_method(name):
  method = methods.TABLE[name]
  assert method.name == name and method.label
  assert re.fullmatch(r'\d{4}\.\d{5}', method.paper), method.paper
  options = method.options()
  for field in dataclasses.fields(options):
    assert field.metadata['help'].endswith('.'), field.name
  with pytest.raises(dataclasses.FrozenInstanceError):
    options.any = 1
  assert method.needs_with(options) <= method.needs
  # The same options are one program.
  assert hash(options) == hash(method.options())


@over_table
def test_it_is_the_function_of_plain_arrays(name):
  method, options, batch = prepared(name)
  credit = methods.compiled(method, options)(batch)
  close(credit.total, method_table.TABLE[name].plain(batch))
  # Not for nothing.
  assert np.asarray(credit.total).any()


@over_table
def test_shapes_masks_and_metrics(name):
  for changes in ({}, method_table.TABLE[name].others):
    method, options, batch = prepared(name, **changes)
    credit = methods.compiled(method, options)(batch)
    t = batch.trajectories
    if method.unit == 'token':
      where = (batch.rows.step_of_token >= 0).reshape(*t.mask.shape[:2], -1)
    else:
      where = t.mask
    assert credit.total.shape == where.shape
    assert credit.total.dtype == jnp.float32
    assert not np.asarray(credit.total)[~where].any()
    for part in jax.tree.leaves(credit.parts):
      assert part.shape[:2] == t.mask.shape[:2]
    assert all(x.shape == () for x in jax.tree.leaves(credit.metrics))
    assert credit.carry.keys() == batch.carry.keys()
    # A critic is taught where there is one.
    assert (credit.returns is not None) == (
      'values' in method.needs_with(options)
    )


@over_table
def test_jit_is_plain_and_compiles_once(name):
  method, options, batch = prepared(name, **method_table.TABLE[name].others)
  compiled = jax.jit(method.credit, static_argnums=1)
  close(compiled(batch, options), method.credit(batch, options))
  method, options, other = prepared(
    name, batches.batch(1), **method_table.TABLE[name].others
  )
  compiled(other, options)
  assert compiled._cache_size() == 1


@over_table
def test_vmap_over_batches(name):
  method, options, first = prepared(name)
  second = batches.given(method, options, batches.batch(1))
  stacked = jax.tree.map(lambda *x: jnp.stack(x), first, second)
  mapped = jax.jit(jax.vmap(lambda b: method.credit(b, options)))(stacked)
  for i, batch in enumerate((first, second)):
    close(
      jax.tree.map(lambda x, i=i: x[i], mapped), method.credit(batch, options)
    )


@over_table
def test_float64(name):
  method, options, batch = prepared(name)
  single = jax.jit(lambda b: method.credit(b, options))(batch)
  with jax.enable_x64(True):
    double = jax.tree.map(
      lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, batch
    )
    given = jax.jit(lambda b: method.credit(b, options).total)(double)
    assert given.dtype == jnp.float64
  close(single.total, given, 1e-4)


@over_table
@pytest.mark.parametrize('kind', ['Auto', 'Explicit'])
def test_groups_over_eight_devices(name, kind):
  assert jax.device_count() == 8
  mesh = jax.make_mesh((8,), ('data',), axis_types=(getattr(AxisType, kind),))
  method, options, batch = prepared(name)
  credit = methods.compiled(method, options)
  expected = credit(batch).total
  placed = jax.tree.map(
    lambda x: jax.device_put(
      x,
      NamedSharding(mesh, PartitionSpec(*['data'] * bool(np.ndim(x)))),
    ),
    batch,
  )
  with jax.set_mesh(mesh):
    close(credit(placed).total, expected)


@over_table
def test_what_is_not_there_has_no_effect(name):
  method, options, batch = prepared(name)
  _, _, longer = prepared(name, batches.padded(batches.batch()))
  expected = np.asarray(method.credit(batch, options).total)
  total = np.asarray(jax.jit(method.credit, static_argnums=1)(longer, options)
                     .total)  # fmt: skip
  close(total[..., : expected.shape[-1]], expected)
  assert total.shape[-1] > expected.shape[-1]
  assert not total[..., expected.shape[-1] :].any()


@over_table
def test_what_a_batch_lacks_is_said(name):
  method, options, batch = prepared(name)
  bare = methods.Batch(batch.trajectories)
  reason = method.missing(bare, options)
  needs = method.needs_with(options) or method.needs_rows(options)
  assert bool(reason) == bool(needs)
  if needs:
    with pytest.raises(ValueError, match='cannot give credit: it needs'):
      methods.compiled(method, options)(bare)
  assert method.missing(batch, options) == ''


def test_divergence_is_a_cost_where_it_is_asked_for():
  method, options, batch = prepared('ppo', kl_reward=0.1, kl_reward_target=0.5)
  credit = methods.compiled(method, options)(batch)
  assert batch.carry['kl_reward'] == np.float32(0.1)
  assert credit.metrics['kl_reward'] == np.float32(0.1)
  assert credit.carry['kl_reward'] != np.float32(0.1)
  plain, none, same = prepared('ppo')
  assert plain.needs_with(none) == {'values'}
  assert method.needs_with(options) == {'values', 'reference'}
  assert (methods.compiled(plain, none)(same).total != credit.total).any()
  lacking = dataclasses.replace(batch, reference_log_probs=None)
  with pytest.raises(ValueError, match='PPO cannot give.*reference policy'):
    methods.compiled(method, options)(lacking)
  with pytest.raises(ValueError, match='kl_reward, which must then be above'):
    methods.TABLE['ppo'].options(kl_reward_target=1.0)


def test_a_method_is_chosen_by_its_name():
  assert methods.choose('gigpo') is methods.TABLE['gigpo']
  with pytest.raises(ValueError, match=r"'gigp'; did you mean 'gigpo'\?"):
    methods.choose('gigp')
  with pytest.raises(ValueError, match=r"'xyz'\. Methods are .*gigpo"):
    methods.choose('xyz')


def test_a_name_is_taken_once():
  mine = dataclasses.replace(methods.TABLE['rloo'], label='Mine')
  with pytest.raises(ValueError, match="a method 'rloo' already"):
    methods.register(mine)
  # The same one may come again, as a file that is imported twice.
  methods.register(methods.TABLE['rloo'])
  own = dataclasses.replace(mine, name='own')
  with methods.registered(own):
    assert methods.TABLE['own'] is own
  assert 'own' not in methods.TABLE
  with pytest.raises(TypeError):
    methods.TABLE['own'] = own


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'unit': 'word'}, "rloo: unit must be one of .* not 'word'"),
    ({'needs': frozenset({'luck'})}, 'unknown needs luck; known are'),
  ],
)
def test_wrong_methods(changes, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(methods.TABLE['rloo'], **changes)


def test_trajectories_of_plain_arrays():
  ones = np.ones((4, 3), np.float32)
  made = methods.trajectories(ones, ones)
  assert made.rewards.shape == made.mask.shape == (1, 4, 3)
  assert len(np.unique(made.anchors)) == 12 and not made.penalties.any()
  with pytest.raises(ValueError, match=r'mask have shape \(4, 2\)'):
    methods.trajectories(ones, ones[:, :2])
  with pytest.raises(ValueError, match=r'rewards must be .* shape \(3,\)'):
    methods.trajectories(ones[0], ones[0])


def test_options_are_checked():
  for method in methods.TABLE.values():
    for field in dataclasses.fields(method.options):
      if field.metadata['choices']:
        with pytest.raises(ValueError, match=f'{field.name} must be one of'):
          method.options(**{field.name: 'neither'})
      elif field.metadata['low'] is not None:
        with pytest.raises(ValueError, match=f'{field.name} must be at least'):
          method.options(**{field.name: field.metadata['low'] - 1})
  with pytest.raises(ValueError, match='weight'):
    methods.TABLE['gigpo'].options(step_weight=0.0, episode_weight=0.0)


def table_of_the_page() -> list[str]:
  """Lines of the table of methods in the reference."""
  lines = []
  for name, method in methods.TABLE.items():
    needs = ', '.join(sorted(method.needs)) or '-'
    if method.unit == 'token' and 'values' not in method.needs:
      needs = 'rows' if needs == '-' else f'rows, {needs}'
    paper = f'[{method.paper}](https://arxiv.org/abs/{method.paper})'
    lines.append(
      f'| `{name}` | {method.label} | {paper} | {method.unit} | {needs} |'
    )
  return lines


def test_the_reference_has_every_method():
  text = (DOCS / 'reference' / 'methods.md').read_text(encoding='utf-8')
  rows = [line for line in text.splitlines() if line.startswith('| `')]
  assert rows == table_of_the_page()


def test_the_example_of_the_reference_runs(capsys, tmp_path):
  text = (DOCS / 'reference' / 'methods.md').read_text(encoding='utf-8')
  (code,) = re.findall('```python\n(.*?)```', text, re.S)
  (tmp_path / 'example.py').write_text(code, encoding='utf-8')
  runpy.run_path(str(tmp_path / 'example.py'))
  # Every method was called by what the page says.
  assert capsys.readouterr().out.split() == list(methods.TABLE)
