"""Success by task type, as a table."""

from typing import Any

from rich import box, table


def rows(evaluations: list[dict[str, Any]]) -> list[list[str]]:
  """A header and a row for each task type, the total last.

  Each evaluation is a column: 'won/played  per cent'. The end of a run that was
  prolonged is told from those before it by the iteration.
  """

  def cell(part):
    if not part or not part['episodes']:
      return '-'
    share = 100 * part['success_rate']
    return f'{part["successes"]}/{part["episodes"]}  {share:.1f} %'

  kinds = sorted({k for e in evaluations for k in e['by_task_type']})
  stages = [e['stage'] for e in evaluations]
  header = ['task type'] + [
    stage if stages.count(stage) == 1 else f'{stage} ({e["iteration"]})'
    for stage, e in zip(stages, evaluations, strict=True)
  ]
  body = [
    [kind, *(cell(e['by_task_type'].get(kind)) for e in evaluations)]
    for kind in kinds
  ]
  return [header, *body, ['all', *(cell(e) for e in evaluations)]]


def figures(evaluations: list[dict[str, Any]]) -> list[list[str]]:
  """Mean reward and grounding accuracy, a column for each evaluation.

  Returns:
    A row for each that any evaluation has.
  """

  def cell(value, words):
    return '-' if value is None else words(value)

  lines = []
  for name, title, words in (
    ('mean_reward', 'mean reward', lambda x: f'{x:.3f}'),
    ('grounding_accuracy', 'grounding accuracy', lambda x: f'{100 * x:.1f} %'),
  ):
    values = [e.get(name) for e in evaluations]
    if any(value is not None for value in values):
      lines.append([title, *(cell(value, words) for value in values)])
  return lines


def success_table(evaluations: list[dict[str, Any]]) -> table.Table:
  """The table for a console."""
  header, *body = rows(evaluations)
  games = sorted({e['games'] for e in evaluations})
  result = table.Table(
    title='Success on ' + '; '.join(games), box=box.SIMPLE_HEAD
  )
  for column, name in enumerate(header):
    result.add_column(name, justify='left' if not column else 'right')
  for line in body[:-1]:
    result.add_row(*line)
  result.add_section()
  result.add_row(*body[-1], style='bold')
  for line in figures(evaluations):
    result.add_row(*line)
  return result
