"""Writes the files of a run by hand, for the tests of its reports."""

import dataclasses
import json
import pathlib

from jaxcredit import methods

SCRIPT = "<script>document.title = 'broken in'</script>"
IMAGE = '"><img src=x onerror="document.title = \'broken in\'">'
TASK = f'put a hot <b>mug</b> {IMAGE} in the fridge.'


def training_record(iteration: int, **changes) -> dict:
  return {
    'stage': 'train',
    'iteration': iteration,
    'time': 1.0,
    'success_rate': iteration / 20,
    'mean_return': 0.1,
    'episode_length': 30.0 - iteration,
    'singleton_share': 0.25,
    'anchor_group_sizes': {
      '1': 0.25, '2-4': 0.25, '5-9': 0.5, '10-49': 0.0, '50+': 0.0,
    },
    'seconds_rollout': 2.0,
    'seconds_update': 1.0,
    'seconds_credit': 0.001,
    **changes,
  }  # fmt: skip


def evaluation(stage: str, iteration: int, won: int) -> dict:
  def part(episodes, successes):
    return {
      'episodes': episodes,
      'successes': successes,
      'success_rate': successes / episodes if episodes else None,
      'mean_length': 12.0,
    }

  return {
    'stage': stage,
    'iteration': iteration,
    'games': '8 games of valid_seen.jsonl',
    **part(8, won),
    'by_task_type': {
      'pick_heat_then_place_in_recep': part(5, won),
      'look_at_obj_in_light': part(3, 0),
    },
  }


def method_record(name: str, **options) -> dict:
  """What a run writes of its method."""
  method = methods.TABLE[name]
  return {
    'name': name,
    'label': method.label,
    'unit': method.unit,
    'standardised': method.standardised,
    'options': dataclasses.asdict(method.options(**options)),
  }


def step(grpo: float, gigpo: float, **changes) -> dict:
  """A step; its reward counts ten times, and a wrong form costs 0.1."""
  return {
    'observation': 'You are in the middle of a room.',
    'action': 'go to fridge 1',
    'answer': ' go to fridge 1',
    'reward': 0.0,
    'scaled_reward': 10.0 * changes.get('reward', 0.0),
    'penalty': 0.0 if changes.get('valid', True) else 0.1,
    'valid': True,
    'anchor_group': 0,
    'anchor_size': 2,
    'credit': {
      'grpo': {'total': grpo},
      'gigpo': {'total': gigpo, 'episode': grpo, 'step': gigpo - grpo},
    },
    **changes,
  }


def episode(group: int, rollout: int, steps: list[dict], **changes) -> dict:
  return {
    'iteration': 10,
    'group': group,
    'rollout': rollout,
    'task': f'task of group {group}',
    'task_type': 'pick_heat_then_place_in_recep',
    'success': False,
    'return': 0.0,
    'failure': '',
    'initial_observation': '-= Welcome =-',
    'steps': steps,
    **changes,
  }


def hostile_episodes() -> list[dict]:
  """A won and a lost rollout, with text that tries to leave its place."""
  won = episode(
    0,
    0,
    [
      step(0.7071, 1.4142, action=SCRIPT, answer=IMAGE),
      step(0.7071, 0.25, anchor_group=1, anchor_size=1),
    ],
    task=TASK,
    task_type=SCRIPT,
    success=True,
  )
  lost = episode(
    0,
    1,
    [step(-0.7071, -1.4142, action=IMAGE, answer=SCRIPT, valid=False)],
    task=TASK,
    task_type=SCRIPT,
    failure=f'its worker said {SCRIPT}',
  )
  return [won, lost]


def write_run(
  folder: pathlib.Path,
  *,
  config=None,
  method=None,
  evaluations=(),
  metrics=(),
  episodes=(),
) -> pathlib.Path:
  """Writes a run.

  Args:
    folder: of the run.
    config: its flags.
    method: of `method_record`; by default that of the flags.
    evaluations: in order.
    metrics: likewise.
    episodes: likewise.
  """
  folder.mkdir(parents=True, exist_ok=True)
  config = {'method': 'gigpo', 'seed': 0} if config is None else config
  if method is None and config.get('method') in methods.TABLE:
    method = method_record(config['method'])
  if method:
    (folder / 'method.json').write_text(json.dumps(method), encoding='utf-8')
  (folder / 'config.json').write_text(json.dumps(config), encoding='utf-8')
  if evaluations:
    (folder / 'evaluations.json').write_text(json.dumps(list(evaluations)))
  for name, records in (
    ('metrics.jsonl', metrics),
    ('episodes.jsonl', episodes),
  ):
    if records:
      text = ''.join(json.dumps(record) + '\n' for record in records)
      (folder / name).write_text(text, encoding='utf-8')
  return folder


def full_run(folder: pathlib.Path) -> pathlib.Path:
  """A run of ten iterations whose text is hostile wherever it can be."""
  return write_run(
    folder,
    config={'method': 'gigpo', 'games': IMAGE, 'seed': 0, 'note': SCRIPT},
    evaluations=[
      evaluation('after the warm start', 0, 2),
      evaluation(f'after training {SCRIPT}', 10, 5),
    ],
    metrics=[
      {'stage': 'warm_start', 'iteration': 20, 'imitation_loss': 1.0},
      *(training_record(i) for i in range(1, 11)),
    ],
    episodes=hostile_episodes(),
  )
