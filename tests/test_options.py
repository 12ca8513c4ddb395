"""Every number among the options: what is refused, and what is accepted."""

import ast
import dataclasses
import importlib
import typing

import pytest
from absl import flags

from experiments.run import option_flags
from jaxcredit import options as options_lib
from tests import test_structure

# Class -> option -> values that must be refused (those with which a run would
# learn nothing or not end, and what means nothing), and values that must be
# accepted, at the edges. Where 0 turns something off, the option's help says
# it.
TABLE = {
  'experiments.bandits.settings.Settings': {
    'seed': ((-1, 4294967296), (0, 4294967295)),
    'seeds': ((0, 1000001), (1,)),
    'horizon': ((1, 2000000001), (2, 2000000000)),
    'sigma': ((-0.1,), (0.0,)),
    'record_every': ((0,), (1,)),
    'outputs': ((0, 1001), (1, 1000)),
    'rho_bound': ((-0.1, 1.0), (0.0, 0.999)),
    'scaling_rho': ((-0.1, 1.0), (0.0, 0.999)),
    'scaling_horizon': ((1, 2000000001), (2, 2000000000)),
    'scaling_systems': ((0, 1000001), (1, 1000000)),
    'scaling_states': ((0, 1001), (1, 1000)),
    'scaling_dimension': ((0, 9), (1, 8)),
  },
  'experiments.control.settings.Settings': {
    'agents': ((1, 1001), (2, 1000)),
    'seed': ((-1, 4294967296), (0, 4294967295)),
    'iterations': ((0,), (10,)),
    'record_every': ((0,), (1,)),
    'evaluation_episodes': ((0, 100001), (1, 100000)),
    'checkpoint_every': ((0,), (1,)),
  },
  'experiments.control.tasks.DecoderOptions': {
    'hidden': ((0,), (1,)),
    'layers': ((0,), (1,)),
    'learning_rate': ((0.0,), (1e-06,)),
    'l2': ((-0.1,), (0.0,)),
    'updates': ((0,), (1,)),
    'batch': ((0,), (1,)),
    'steps': ((0,), (1,)),
    'variance_weight': ((-0.1,), (0.0,)),
  },
  'experiments.domains.household.HouseholdOptions': {
    'generated_games': ((-1, 1000001), (0, 1000000)),
    'evaluation_count': ((-1, 1000001), (0, 1000000)),
    'warm_start_games': ((0, 1000001), (1, 1000000)),
    'warm_start_slips': ((-0.1, 1.0), (0.0, 0.9)),
  },
  'experiments.domains.questions.QuestionOptions': {
    'training_count': ((-1, 1000001), (0, 1000000)),
    'evaluation_count': ((-1, 1000001), (0, 1000000)),
    'tries': ((0,), (1,)),
    'warm_start_questions': ((0, 1000001), (1, 1000000)),
  },
  'experiments.domains.shop.ShopOptions': {
    'products': ((0, 1000001), (1, 1000000)),
    'results_per_page': ((0,), (1,)),
    'training_goals': ((0, 1000001), (1, 1000000)),
    'evaluation_count': ((-1, 1000001), (0, 1000000)),
    'warm_start_goals': ((0, 1000001), (1, 1000000)),
    'warm_start_slips': ((-0.1, 1.0), (0.0, 0.9)),
  },
  'experiments.domains.virtualhome.VirtualHomeOptions': {
    'generated_problems': ((-1, 0, 1000001), (1, 1000000)),
    'evaluation_count': ((-1, 1000001), (0, 1000000)),
    'chores': ((0, 101), (1, 100)),
    'warm_start_problems': ((0, 1000001), (1, 1000000)),
    'warm_start_slips': ((-0.1, 1.0), (0.0, 0.9)),
  },
  'experiments.text.policy_options.SizeOptions': {
    'width': ((0,), (1,)),
    'layers': ((0,), (1,)),
    'heads': ((0,), (2,)),
    'kv_heads': ((0,), (1,)),
    'head_dim': ((0, 3), (2,)),
    'hidden': ((0,), (1,)),
  },
  'experiments.text.policy_options.PolicyOptions': {
    'mesh_data': ((0,), (1,)),
    'mesh_fsdp': ((0,), (1,)),
    'mesh_tensor': ((0,), (1,)),
    'lora_rank': ((-1,), (0,)),
    'lora_alpha': ((0.0,), (1e-06,)),
  },
  'experiments.text.progress_stage.ProgressOptions': {
    'exploration_tasks': ((-1,), (0,)),
    'exploration_rollouts': ((0,), (1,)),
    'exploration_temperature': ((0.0,), (0.001,)),
  },
  'experiments.text.settings.FormatOptions': {
    'history_length': ((-1,), (0,)),
  },
  'experiments.text.settings.WarmStartOptions': {
    'steps': ((-1,), (0,)),
    'batch': ((0,), (1,)),
    'learning_rate': ((0.0,), (1e-06,)),
    'observation_weight': ((-0.1,), (0.0,)),
  },
  'experiments.text.settings.LearnerOptions': {
    'learning_rate': ((0.0,), (1e-06,)),
    'weight_decay': ((-0.1,), (0.0,)),
    'clip_norm': ((0.0,), (1e-06,)),
    'micro_batch_tokens': ((0,), (1,)),
    'skip_limit': ((0,), (1,)),
  },
  'experiments.text.settings.OverlapOptions': {
    'importance_cap': ((0.0,), (0.001,)),
  },
  'experiments.text.settings.RunOptions': {
    'iterations': ((-1,), (0,)),
    'evaluate_every': ((-1,), (0,)),
    'checkpoint_every': ((0,), (1,)),
    'keep_checkpoints': ((0,), (1,)),
    'profile': ((-1,), (0,)),
    'save_episodes_every': ((-1,), (0,)),
    'environment_workers': ((0, 1025), (1, 1024)),
    'step_time_limit': ((0.0,), (0.01,)),
  },
  'jaxcredit.agents.ippo.Options': {
    'episodes': ((0,), (1,)),
    'iterations': ((0,), (1,)),
    'learning_rate': ((0.0,), (1e-06,)),
    'clip': ((0.0,), (1e-06,)),
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
    'gae_lambda': ((-0.1, 1.1), (0.0, 1.0)),
    'entropy_coefficient': ((-0.1,), (0.0,)),
    'value_coefficient': ((0.0,), (1e-06,)),
    'huber': ((0.0,), (1e-06,)),
    'epochs': ((0,), (1,)),
    'minibatch': ((0,), (1,)),
    'clip_norm': ((0.0,), (1e-06,)),
    'hidden': ((0,), (1,)),
    'buffer': ((0,), (82,)),
  },
  'jaxcredit.agents.td3.Options': {
    'environments': ((0,), (1,)),
    'block': ((0,), (1,)),
    'updates': ((0,), (2,)),
    'blocks': ((0,), (1,)),
    'rounds': ((1,), (2,)),
    'random_steps': ((-1,), (0,)),
    'learning_rate': ((0.0,), (1e-06,)),
    'batch': ((0,), (1,)),
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
    'follow': ((0.0, 1.1), (1e-06, 1.0)),
    'noise': ((-0.1,), (0.0,)),
    'target_noise': ((-0.1,), (0.0,)),
    'target_clip': ((-0.1,), (0.0,)),
    'delay': ((0,), (1,)),
    'hidden': ((0,), (1,)),
  },
  'jaxcredit.methods.gigpo.Options': {
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
    'step_weight': ((-0.1,), (0.0,)),
    'episode_weight': ((-0.1,), (0.0,)),
    'ddof': ((-1, 2), (0, 1)),
  },
  'jaxcredit.methods.grpo.Options': {
    'ddof': ((-1, 2), (0, 1)),
  },
  'jaxcredit.methods.hepo.Options': {
    'rho': ((0.0, 1.1), (1e-06, 1.0)),
  },
  'jaxcredit.methods.ppo.Options': {
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
    'gae_lambda': ((-0.1, 1.1), (0.0, 1.0)),
    'kl_reward': ((-0.1,), (0.0,)),
    'kl_reward_target': ((-0.1,), (0.0,)),
    'kl_reward_horizon': ((0.5,), (1.0,)),
  },
  'jaxcredit.methods.reinforce_plus_plus.BaselineOptions': {
    'ddof': ((-1, 2), (0, 1)),
  },
  'jaxcredit.methods.reinforce_plus_plus.Options': {
    'ddof': ((-1, 2), (0, 1)),
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
  },
  'jaxcredit.methods.spa.Options': {
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
    'gae_lambda': ((-0.1, 1.1), (0.0, 1.0)),
    'kl_reward': ((-0.1,), (0.0,)),
    'kl_reward_target': ((-0.1,), (0.0,)),
    'kl_reward_horizon': ((0.5,), (1.0,)),
    'progress_weight': ((-0.1,), (0.0,)),
    'grounding_weight': ((-0.1,), (0.0,)),
  },
  'jaxcredit.methods.tempo.Options': {
    'td_weight': ((-0.1,), (0.0,)),
  },
  'jaxcredit.methods.treerpo.Options': {
    'ddof': ((-1, 2), (0, 1)),
  },
  'jaxcredit.methods.vineppo.Options': {
    'discount': ((-0.1, 1.1), (0.0, 1.0)),
  },
  'jaxcredit.training.critic.CriticOptions': {
    'learning_rate': ((0.0,), (1e-06,)),
    'clip': ((-0.1,), (0.0,)),
    'weight_decay': ((-0.1,), (0.0,)),
    'clip_norm': ((0.0,), (1e-06,)),
  },
  'jaxcredit.training.loop.LoopOptions': {
    'seed': ((-1,), (0,)),
    'groups': ((0,), (1,)),
    'group_size': ((1,), (2,)),
    'max_steps': ((0,), (1,)),
    'new_tokens': ((0,), (1,)),
    'temperature': ((0.0,), (0.001,)),
    'minibatches': ((0,), (1,)),
    'minibatch_rows': ((-1,), (0,)),
    'epochs': ((0,), (1,)),
    'reward_scale': ((0.0,), (1e-06,)),
    'invalid_penalty': ((-0.1,), (0.0,)),
    'overlong_buffer': ((-1,), (0,)),
    'overlong_penalty': ((0.0,), (1e-06,)),
    'generation_batches': ((0,), (1,)),
  },
  'jaxcredit.training.policy_gradient.LossOptions': {
    'clip': ((0.0, 1.1), (1e-06, 1.0)),
    'clip_high': ((0.0,), (1e-06,)),
    'dual_clip': ((-0.1, 0.5, 1.0), (0.0, 1.5)),
    'kl_coefficient': ((-0.1,), (0.0,)),
    'entropy_coefficient': ((-0.1,), (0.0,)),
    'temperature': ((0.0,), (1e-06,)),
    'normaliser': ((0.0,), (1e-06,)),
  },
  'jaxcredit.training.progress_estimator.EstimatorOptions': {
    'hidden': ((-1,), (0,)),
    'lora_rank': ((0,), (1,)),
    'lora_alpha': ((0.0,), (1e-06,)),
    'steps': ((0,), (1,)),
    'batch': ((0,), (1,)),
    'learning_rate': ((0.0,), (1e-06,)),
    'warmup': ((-1,), (0,)),
    'weight_decay': ((-0.1,), (0.0,)),
    'clip_norm': ((0.0,), (1e-06,)),
    'held_out': ((0.0, 1.0), (1e-06, 0.999)),
    'evaluate_every': ((0,), (1,)),
    'patience': ((-1,), (0,)),
    'prefix_weight': ((-0.1,), (0.0,)),
    'smoothness_weight': ((-0.1,), (0.0,)),
    'monotone_weight': ((-0.1,), (0.0,)),
  },
  # They check themselves.
  'jaxcredit.agents.reward_decomposition.Options': {
    'k': ((0, 1), (2,)),
    'variance_weight': ((-0.1,), (0.0,)),
  },
  'jaxcredit.networks.lora.LoraOptions': {
    'rank': ((0,), (1,)),
    'alpha': ((0.0,), (1e-6,)),
  },
  'jaxcredit.rollouts.collector.RolloutLimits': {
    'steps': ((0,), (1,)),
    'new_tokens': ((0,), (1,)),
    'row_tokens': ((0,), (1,)),
    'chunks': ((0,), (1,)),
  },
}


def declared() -> dict[str, type]:
  """Classes with fields made by `jaxcredit.options`, by their full name."""
  found = {}
  for module, tree in test_structure.TREES.items():
    for node in tree.body:
      if isinstance(node, ast.ClassDef) and any(
        isinstance(line, ast.AnnAssign)
        and isinstance(line.value, ast.Call)
        and ast.unparse(line.value.func).partition('.')[0]
        in ('options', 'options_lib')
        for line in node.body
      ):
        kind = getattr(importlib.import_module(module), node.name)
        found[f'{module}.{node.name}'] = kind
  return found


def numbers(kind: type) -> dict[str, dataclasses.Field]:
  """The fields of a class that hold numbers, or tuples of them."""
  hints = typing.get_type_hints(kind)

  def is_number(hint) -> bool:
    inner = typing.get_args(hint)
    return hint in (int, float) or any(map(is_number, inner))

  return {
    f.name: f for f in dataclasses.fields(kind) if is_number(hints[f.name])
  }


def class_of(name: str) -> type:
  module, _, kind = name.rpartition('.')
  return getattr(importlib.import_module(module), kind)


def make(kind: type, field: dataclasses.Field, value):
  """Options with their defaults, but for one."""
  hint = typing.get_type_hints(kind)[field.name]
  if typing.get_origin(hint) is tuple:
    value = (value,)
  return kind(**{field.name: value})


def test_no_number_is_left_out():
  listed = {(name, option) for name, row in TABLE.items() for option in row}
  there = {
    (name, option)
    for name, kind in declared().items()
    for option in numbers(kind)
  }
  assert len(there) > 100
  assert not there - listed, 'options without values in TABLE'
  for name, option in listed:
    assert option in numbers(class_of(name)), (name, option)


@pytest.mark.parametrize('name', TABLE)
def test_numbers_that_do_nothing_are_refused(name):
  kind = class_of(name)
  for option, field in numbers(kind).items():
    refused, accepted = TABLE[name][option]
    assert refused and accepted
    for value in refused:
      with pytest.raises(ValueError, match=option):
        make(kind, field, value)
    for value in accepted:
      make(kind, field, value)


@pytest.mark.parametrize('name', declared())
def test_flags_refuse_what_their_options_refuse(name):
  """At the command line, before anything is loaded."""
  kind = declared()[name]
  for option, field in numbers(kind).items():
    above = field.metadata['above']
    if 'help' not in field.metadata or above is None:
      continue
    flag = f'{option}_of_a_test'
    of = option_flags.kind_of(kind, option)
    option_flags.define_one(flag, field, of, field.default)
    try:
      with pytest.raises(
        flags.IllegalFlagValueError, match=f'{flag}=.*must be above {above}'
      ):
        setattr(flags.FLAGS, flag, above)
      setattr(flags.FLAGS, flag, above + 1e-6)
    finally:
      delattr(flags.FLAGS, flag)


@dataclasses.dataclass(frozen=True)
class Made:
  rate: float = options_lib.option(1.0, 'A rate.', above=0, high=2)
  several: tuple[float, ...] = options_lib.option((1.0,), 'Some.', above=0)
  hidden: int = options_lib.internal(3, 1, 5)
  maybe: float | None = options_lib.option(None, 'Perhaps.', above=0)

  __post_init__ = options_lib.check


def test_bounds_that_are_excluded():
  assert Made(rate=2, several=(0.1, 9), hidden=5, maybe=0.1)
  for wrong, words in (
    ({'rate': 0}, 'rate must be above 0, not 0'),
    ({'rate': 2.1}, 'rate must be at most 2'),
    ({'rate': float('nan')}, 'rate must be a finite number'),
    ({'several': (1.0, 0.0)}, 'several must be above 0'),
    ({'hidden': 0}, 'hidden must be at least 1'),
    ({'hidden': 6}, 'hidden must be at most 5'),
    ({'maybe': 0.0}, 'maybe must be above 0'),
  ):
    with pytest.raises(ValueError, match=words):
      Made(**wrong)
