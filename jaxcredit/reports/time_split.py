"""Where the time of a run goes, stage by stage of an iteration."""

from typing import Any

from jaxcredit.training import stage_clock

# Key: words. The first three are the parts of the rollout.
STAGES = {
  'policy': 'rollout: the policy writes',
  'environment': 'rollout: the environment answers',
  'rollout_rest': 'rollout: the rest',
  **{k: v for k, v in stage_clock.STAGES.items() if k != 'rollout'},
}
_OUTSIDE = [name for name in stage_clock.STAGES if name != 'rollout']


def stages(record: dict[str, Any]) -> dict[str, float] | None:
  """Seconds of each stage of one iteration; None where it was not timed.

  Where the policy and the environment work at the same time, their sum can be
  more than the rollout; then what is left of it is 0.
  """
  if record.get('seconds_rollout') is None:
    return None

  def seconds(name):
    return record.get(f'seconds_{name}') or 0.0

  inside = seconds('policy') + seconds('environment')
  return {
    'policy': seconds('policy'),
    'environment': seconds('environment'),
    'rollout_rest': max(seconds('rollout') - inside, 0.0),
    **{name: seconds(name) for name in _OUTSIDE},
  }


def curves(
  records: list[dict[str, Any]],
) -> dict[str, tuple[list[int], list[float]]]:
  """Iterations and seconds of each stage that took any, as a chart takes them.

  Together they are the whole of an iteration (where its records were made by a
  version that measured all of them).
  """
  timed = [r for r in records if r.get('seconds_rollout') is not None]
  iterations = [r['iteration'] for r in timed]
  seconds = {
    name: [r.get(f'seconds_{name}') or 0.0 for r in timed]
    for name in stage_clock.STAGES
  }
  return {name: (iterations, s) for name, s in seconds.items() if any(s)}


def words(seconds: float) -> str:
  """A duration as people say it."""
  if seconds < 0.1:
    return f'{1000 * seconds:.1f} ms'
  if seconds < 100:
    return f'{seconds:.1f} s'
  if seconds < 6000:
    return f'{seconds / 60:.1f} min'
  return f'{seconds / 3600:.1f} h'


def table(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """A row for each stage, the total last.

  The first iteration compiles, so that it stands alone.

  Args:
    records: metrics of iterations.

  Returns:
    Rows with name, first, later (mean of the others), all, as text, and share,
    of all iterations, in per cent. None where no iteration was timed.
  """
  timed = [s for r in records if (s := stages(r)) is not None]
  if not timed:
    return []
  whole = sum(sum(s.values()) for s in timed)

  def row(name, pick):
    later = [pick(s) for s in timed[1:]]
    total = sum(map(pick, timed))
    return {
      'name': name,
      'first': words(pick(timed[0])),
      'later': words(sum(later) / len(later)) if later else '-',
      'all': words(total),
      'share': 100 * total / whole if whole else 0.0,
    }

  rows = [
    row(label, lambda s, name=name: s[name])
    for name, label in STAGES.items()
    if any(s[name] for s in timed)
  ]
  return [*rows, row('all', lambda s: sum(s.values()))]
