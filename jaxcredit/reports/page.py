"""One HTML page about a run: self-contained, without scripts.

What a model or a game wrote is escaped; a content security policy forbids
scripts and everything from outside, whatever the text may hold.
"""

import pathlib
from typing import Any

import jinja2
import markupsafe

from jaxcredit.reports import (
  curves,
  progress_curves,
  run_data,
  success_table,
)

NAME = 'report.html'
# Credit as the records name it -> as people do; in this order it is shown.
METHODS = {
  'grpo': 'GRPO',
  'gigpo': 'GiGPO',
  'ppo': "PPO's reward",
  'spa': "SPA's reward",
}


def _environment() -> jinja2.Environment:
  return jinja2.Environment(
    loader=jinja2.PackageLoader('jaxcredit.reports', 'templates'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )


def bar(value: float, scale: float) -> dict[str, Any]:
  """Geometry of a credit bar around the middle of its cell, in per cent."""
  share = 0.0 if not scale else min(abs(value) / scale, 1.0)
  width = 50 * share
  return {
    'left': f'{50 - width if value < 0 else 50:.1f}',
    'width': f'{width:.1f}',
    'sign': 'minus' if value < 0 else 'plus',
    'text': f'{value:+.2f}' if value else '0',
  }


def methods_of(episodes: list[dict[str, Any]]) -> dict[str, str]:
  """The credits that every step of the records has, with their names."""
  steps = [step for episode in episodes for step in episode['steps']]
  return {
    method: name
    for method, name in METHODS.items()
    if steps and all(method in step['credit'] for step in steps)
  }


def _groups(episodes: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
  """Groups of the latest iteration kept, those with both outcomes first."""
  if not episodes:
    return []
  latest = max(e['iteration'] for e in episodes)
  methods = methods_of(episodes)
  by_group: dict[int, list[dict[str, Any]]] = {}
  for episode in episodes:
    if episode['iteration'] == latest:
      by_group.setdefault(episode['group'], []).append(episode)

  def mixed(item):
    won = sum(e['success'] for e in item[1])
    return (not 0 < won < len(item[1]), item[0])

  groups = []
  for _, members in sorted(by_group.items(), key=mixed)[:limit]:
    scale = max(
      (
        abs(step['credit'][method]['total'])
        for episode in members
        for step in episode['steps']
        for method in methods
      ),
      default=0.0,
    )
    groups.append(
      {
        'iteration': latest,
        'task': members[0]['task'],
        'task_type': members[0]['task_type'],
        'won': sum(e['success'] for e in members),
        'episodes': [
          {
            **episode,
            'steps': [
              {
                **step,
                'bars': {
                  method: bar(step['credit'][method]['total'], scale)
                  for method in methods
                },
              }
              for step in episode['steps']
            ],
          }
          for episode in sorted(members, key=lambda e: e['rollout'])
        ],
      }
    )
  return groups


def render(run: run_data.RunData, *, group_limit: int = 8) -> str:
  """The page as text.

  Args:
    run: the run.
    group_limit: groups of episodes that are shown at most.
  """
  header, *body = success_table.rows(run.evaluations)
  return (
    _environment()
    .get_template('run.html.jinja')
    .render(
      title=f'{run.config.get("method", "run")}: {run.folder.name}',
      config=sorted(run.config.items()),
      games=sorted({e['games'] for e in run.evaluations}),
      header=header,
      rows=body if run.evaluations else [],
      # Drawn by matplotlib from numbers; it holds no text of a model.
      curves=markupsafe.Markup(curves.svg(run)) if run.training else '',
      groups=_groups(run.episodes, group_limit),
      methods=methods_of(run.episodes) or METHODS,
      figures=success_table.figures(run.evaluations),
      estimator=run.estimator,
      progress=(
        markupsafe.Markup(progress_curves.svg(run)) if run.estimator else ''
      ),
      iterations=len(run.training),
      number=lambda x: '-' if x is None else f'{x:.3f}',
    )
  )


def save(run: run_data.RunData) -> pathlib.Path:
  """Writes report.html into the run's folder; returns its path."""
  path = run.folder / NAME
  path.write_text(render(run), encoding='utf-8')
  return path
