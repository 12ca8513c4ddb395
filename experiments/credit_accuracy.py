"""How right credit is: every method against true advantages.

  python -m experiments.credit_accuracy --run=runs/accuracy
  python -m experiments.credit_accuracy --environment=household --method=grpo \
      --method=gigpo --group_size=8 --group_size=16

Where an environment is a pure function, the true advantage of each step under a
fixed policy can be computed: exactly, by dynamic programming, or by branching
many rollouts from the step (--truth=branched). Each environment is played in
the base setting, the first value of each of --group_size, --length, --delay,
--colours and --noise. The first environment is then played with each further
value of one of them.

The folder gets table.md, scores.csv (every number of every seed) and two
figures. jaxcredit/algorithms/credit_quality.py defines the scores.
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
from absl import flags

from experiments.accuracy import batches as credit_batches
from experiments.accuracy import figures as credit_figures
from experiments.accuracy import settings as credit_settings
from experiments.accuracy import variants
from experiments.run import console, interruption, script
from jaxcredit.algorithms import credit_quality
from jaxcredit.distributed import processes

flags.adopt_module_key_flags(script)

_ENVIRONMENTS = flags.DEFINE_multi_enum(
  'environment',
  ['key_door', 'grid', 'two_armed', 'household'],
  list(credit_settings.LENGTHS),
  'Tasks; the first is also played with the further values of other flags.',
)
_METHODS = flags.DEFINE_multi_enum(
  'method',
  variants.names(),
  variants.names(),
  'Methods whose credit is scored.',
)
_GROUP_SIZES = flags.DEFINE_multi_integer(
  'group_size', [8, 2, 4, 16], 'Rollouts of a group.', 2
)
_LENGTHS = flags.DEFINE_multi_integer(
  'length',
  [0, 8, 12, 24],
  'Steps of an episode at most; 0 for the default of the task (two_armed 8, '
  'grid 12, key_door 16, household 14).',
  0,
)
_DELAYS = flags.DEFINE_multi_integer(
  'delay', [0, 4, 8], 'Steps between the decisive action and the reward.', 0
)
_COLOURS = flags.DEFINE_multi_integer(
  'colours',
  [1, 2, 4, 16],
  'Of a light that is seen but says nothing: states that look repeated get '
  'rarer.',
  1,
)
_NOISES = flags.DEFINE_multi_float(
  'noise', [0.0, 0.1], 'Size of a random reward of each step.', 0.0
)
_GROUPS = flags.DEFINE_integer('groups', 8, 'Groups of a batch.', 1)
_RESAMPLES = flags.DEFINE_integer(
  'resamples', 8, 'Batches of a seed, which keep one rollout of each group.', 2
)
_EARLIER = flags.DEFINE_integer(
  'earlier', 8, 'Earlier episodes a group, from which methods learn.', 1
)
_SEEDS = flags.DEFINE_multi_integer(
  'seed', list(range(10)), 'Seeds, with a policy and episodes each.', 0
)
_COMPETENCE = flags.DEFINE_float(
  'competence',
  None,
  'Logit of the best action of each state; by default 2 in the household, '
  'else 1.',
)
_ROUGHNESS = flags.DEFINE_float(
  'roughness', 0.5, "Standard deviation of all actions' logits.", 0.0
)
_TRUTH = flags.DEFINE_enum(
  'truth', 'exact', ['exact', 'branched'], 'How true advantages are computed.'
)
_BRANCHES = flags.DEFINE_integer(
  'branches', 256, 'Rollouts for each mean of a branched advantage.', 2
)

SHORT = {
  'What is scored': ('environment', 'method', 'seed'),
  'Settings': ('group_size', 'length', 'delay', 'colours', 'noise'),
  'Batches': ('groups', 'resamples', 'earlier'),
  'Policies': ('competence', 'roughness'),
  'True advantages': ('truth', 'branches'),
  'Run': ('run', 'compilation_cache'),
}
_AXES = ('group_size', 'length', 'delay', 'colours', 'noise')


def settings() -> list[tuple[str, credit_settings.Setting]]:
  """What is varied ('' for nothing), and the setting."""
  values = {
    'group_size': _GROUP_SIZES.value,
    'length': _LENGTHS.value,
    'delay': _DELAYS.value,
    'colours': _COLOURS.value,
    'noise': _NOISES.value,
  }
  environments = list(dict.fromkeys(_ENVIRONMENTS.value))

  def setting(environment, **changed):
    chosen = {name: values[name][0] for name in _AXES} | changed
    chosen['length'] = chosen['length'] or credit_settings.LENGTHS[environment]
    return credit_settings.Setting(environment, **chosen)

  found = [('', setting(environment)) for environment in environments]
  for axis in _AXES:
    for value in dict.fromkeys(values[axis][1:]):
      varied = setting(environments[0], **{axis: value})
      if varied != found[0][1]:
        found.append((axis, varied))
  return found


@dataclasses.dataclass(frozen=True)
class Plan:
  """What the flags say.

  Attributes:
    settings: what is varied ('' for nothing), and the setting.
    sizes: what all of them fit into.
    policies: of each environment.
    methods: names.
    seeds: whole numbers.
    branches: rollouts of a branched advantage; 0 for exact ones.
  """

  settings: list[tuple[str, credit_settings.Setting]]
  sizes: credit_settings.Sizes
  policies: dict[str, credit_settings.Policy]
  methods: list[str]
  seeds: list[int]
  branches: int


def plan() -> Plan:
  """What the flags say.

  Raises:
    ValueError: values out of range.
  """
  if len(set(_SEEDS.value)) < len(_SEEDS.value):
    raise ValueError('--seed: each seed is one run, give it once')
  found = settings()
  competence = credit_settings.COMPETENCE
  if _COMPETENCE.value is not None:
    competence = dict.fromkeys(competence, _COMPETENCE.value)
  return Plan(
    found,
    credit_settings.sizes_of(
      [setting for _, setting in found],
      _GROUPS.value,
      _RESAMPLES.value,
      _EARLIER.value,
    ),
    {
      name: credit_settings.Policy(competence[name], _ROUGHNESS.value)
      for name in dict.fromkeys(_ENVIRONMENTS.value)
    },
    list(dict.fromkeys(_METHODS.value)),
    list(_SEEDS.value),
    _BRANCHES.value if _TRUTH.value == 'branched' else 0,
  )


@functools.partial(jax.jit, static_argnames=('method',))
def _credit(batches, method: str):
  """What a method gives the steps of many batches, one after the other."""
  return jax.lax.map(lambda x: variants.credit(x, method), batches)


@jax.jit
def _scores(credit, known, mask):
  """Scores of B seeds with R batches each, float [B] by name."""

  def of_batch(credit, known, mask):
    true = known.advantages
    # What branching cannot tell from 0 has no sign to agree with.
    threshold = 1e-3 + 1.96 * known.errors
    return {
      'rank': credit_quality.rank_correlation(credit, true, mask),
      'within': credit_quality.within_episodes(credit, true, mask),
      'sign': credit_quality.sign_agreement(
        credit, true, mask, threshold=threshold
      ),
      'error': credit_quality.scaled_error(credit, true, mask),
      'gradient': credit_quality.gradient_cosine(
        credit, true, mask, known.states, known.pairs,
        known.probabilities, known.collisions,
      ),
    }  # fmt: skip

  def of_seed(credit, known, mask):
    result = jax.vmap(of_batch)(credit, known, mask)
    result = {name: value.mean() for name, value in result.items()}
    result['variance'] = credit_quality.resampling_variance(
      credit[:, :, 0], known.advantages[0, :, 0], mask[0, :, 0]
    )
    return result

  return jax.lax.map(lambda x: of_seed(*x), (credit, known, mask))


def score(setting, chosen: Plan) -> tuple[dict, dict[str, float]]:
  """Scores of all methods in a setting, and what is to be said of it.

  Args:
    setting: the task.
    chosen: the rest.

  Returns:
    method -> score -> float [seeds]; and name -> number of the episodes.

  Raises:
    FloatingPointError: a method whose credit is not finite.
  """
  policy = chosen.policies[setting.environment]
  batches, known = [], []
  for seed in chosen.seeds:
    source = credit_batches.Source(setting, chosen.sizes, policy, seed)
    batch, truth = source.batches(seed, chosen.branches)
    batches.append(batch)
    known.append(truth)
  stacked = jax.tree.map(lambda *x: np.stack(x), *known)
  repeated = float(np.mean([credit_batches.repeated_share(b) for b in batches]))
  # [B * R, ...]; keys are no numpy arrays.
  flat = jax.tree.map(lambda *x: jax.numpy.concatenate(x), *batches)
  mask = np.asarray(flat.now.mask)
  by_seed = (len(chosen.seeds), chosen.sizes.resamples)
  results = {}
  for method in chosen.methods:
    credit = np.asarray(_credit(flat, method))
    if not np.isfinite(credit).all():
      raise FloatingPointError(f'{method}: credit in {setting} is not finite')
    shape = (*by_seed, *mask.shape[1:])
    found = _scores(credit.reshape(shape), stacked, mask.reshape(shape))
    results[method] = {k: np.asarray(v) for k, v in found.items()}
  taken = np.asarray(flat.now.taken)
  true = stacked.advantages[mask.reshape(*by_seed, *mask.shape[1:])]
  about = {
    'return': float(np.asarray(flat.now.scores)[taken].mean()),
    'steps': float(mask.sum() / taken.sum()),
    'repeated': repeated,
    'deviation': float(np.sqrt((true**2).mean())),
    'decisive': float((np.abs(true) > 1e-3).mean()),
    'error': float(stacked.errors[mask.reshape(stacked.errors.shape)].mean()),
  }
  return results, about


def _experiment(chosen: Plan, folder: pathlib.Path) -> None:
  found = []
  with console.bar('settings', len(chosen.settings)) as advance:
    for axis, setting in chosen.settings:
      scores, about = score(setting, chosen)
      for values in scores.values():
        if not np.isfinite(values['error']).all():
          raise ValueError(
            f'in {setting} all true advantages of a seed are 0, or nearly: '
            'there is nothing to be right about; take more --groups or another '
            '--competence'
          )
      found.append(credit_figures.Result(axis, setting, scores, about))
      advance(1, f'{setting.environment} {axis}')
  credit_figures.write(found, chosen.seeds, folder)


def build() -> Plan:
  """What the flags say; see `plan`."""
  if processes.count() > 1:
    raise ValueError('credit is scored in one process: give no --processes')
  return plan()


def execute(
  chosen: Plan, stop: interruption.Interruption, folder: pathlib.Path
) -> bool:
  """Scores all methods in all settings."""
  # Nothing of a setting is kept, so there is nothing to save.
  with stop.at_once('scoring credit'):
    _experiment(chosen, folder)
  return True


def report(folder: pathlib.Path) -> None:
  """Prints the table, if the run has come so far."""
  table = folder / 'table.md'
  if table.exists():
    print(table.read_text(encoding='utf-8'))
    console.console.print(f'figures, CSV and table: {folder}', soft_wrap=True)


def main(argv):
  return script.run(
    argv, module=__name__, build=build, execute=execute, report=report
  )


if __name__ == '__main__':
  script.start(main, SHORT)
