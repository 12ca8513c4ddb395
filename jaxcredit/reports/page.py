"""One HTML page about a run of text: self-contained, and whole without scripts.

What a model or a game wrote is escaped; see `page_template` for what keeps it
from being obeyed even so.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxcredit import files
from jaxcredit.methods import gigpo
from jaxcredit.reports import (
  anchor_groups,
  failures,
  page_template,
  prefix_tree,
  progress_curves,
  recorded_credit,
  run_data,
  run_panels,
  success_table,
  svg_chart,
  time_split,
)

NAME = 'report.html'

Known = recorded_credit.Known


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


def _parts(credit: dict[str, float]) -> str:
  """The parts of a step's credit, where it has several."""
  return ', '.join(
    f'{name} {value:+.2f}' for name, value in credit.items() if name != 'total'
  )


def _with_bars(
  episodes: Sequence[dict[str, Any]], methods: Mapping[str, Known]
) -> list[dict[str, Any]]:
  """Episodes of a group whose steps have a bar for each method.

  Credit in units of a standard deviation shares a scale.
  """

  def largest(some):
    return max(
      (
        abs(step['credit'][method]['total'])
        for episode in episodes
        for step in episode['steps']
        for method in some
      ),
      default=0.0,
    )

  shared = largest([m for m, known in methods.items() if known.standardised])
  scales = {
    m: shared if known.standardised else largest([m])
    for m, known in methods.items()
  }
  return [
    {
      **episode,
      'steps': [
        {
          **step,
          'bars': {
            method: {
              **bar(step['credit'][method]['total'], scales[method]),
              'parts': _parts(step['credit'][method]),
            }
            for method in methods
          },
        }
        for step in episode['steps']
      ],
    }
    for episode in episodes
  ]


def _by_group(
  episodes: Sequence[dict[str, Any]], methods: Mapping[str, Known]
) -> list[list[dict[str, Any]]]:
  """Groups with their bars, those with both outcomes first."""
  by_group: dict[int, list[dict[str, Any]]] = {}
  for episode in episodes:
    by_group.setdefault(episode['group'], []).append(episode)

  def mixed(item):
    won = sum(e['success'] for e in item[1])
    return (not 0 < won < len(item[1]), item[0])

  return [
    _with_bars(sorted(members, key=lambda e: e['rollout']), methods)
    for _, members in sorted(by_group.items(), key=mixed)
  ]


def _group(members: list[dict[str, Any]], discount: float) -> dict[str, Any]:
  """What the page shows of a group."""
  states, singletons = anchor_groups.table(members, discount)
  return {
    'iteration': members[0]['iteration'],
    'task': members[0]['task'],
    'task_type': members[0]['task_type'],
    'won': sum(e['success'] for e in members),
    'episodes': members,
    'states': states,
    'singletons': singletons,
  }


def _discount(method: dict[str, Any]) -> float:
  """The discount by which states are compared: of the run's steps, or GiGPO's.

  Elsewhere a discount is one of tokens.
  """
  own = gigpo.Options().discount
  if method.get('unit') != 'step':
    return own
  return method['options'].get('discount', own)


def _trees(
  run: run_data.RunData, methods: Sequence[str]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
  """Prefix trees of the latest groups, and their failures; None without."""
  if not run.trees:
    return None, []
  more, reasons = recorded_credit.of_answers(run.trees, methods, run.method)
  return {
    **prefix_tree.view(run.trees, group_limit=len(run.trees), more=more),
    'left_out': [
      (recorded_credit.known(m, run.method).label, why)
      for m, why in reasons.items()
    ],
  }, failures.pick_answers(run.trees)


def render(
  run: run_data.RunData,
  *,
  methods: Sequence[str] = (),
  group_limit: int = 8,
) -> str:
  """The page as text.

  Args:
    run: the run.
    methods: names of the table, whose credit is computed again; none for that
      of the run, beside the baseline.
    group_limit: groups of episodes, and prefix trees, that are shown at most.
  """
  header, *body = success_table.rows(run.evaluations)
  latest = max((e['iteration'] for e in run.episodes), default=0)
  episodes, chosen, reasons = recorded_credit.choose(
    [e for e in run.episodes if e['iteration'] == latest], methods, run.method
  )
  known = {
    name: recorded_credit.known(name, run.method)
    for name in (*chosen, *reasons)
  }
  shown = {name: known[name] for name in chosen}
  groups = _by_group(episodes, shown)
  discount = _discount(run.method)
  # The run's own method tells best what it learned from a failure.
  own = run.method.get('name', run.config.get('method'))
  judged = own if own in chosen else next(iter(chosen[::-1]), None)
  run = dataclasses.replace(run, trees=run.trees[-group_limit:])
  trees, answer_failures = _trees(run, methods)
  charts, others = run_panels.of_run(run)
  return page_template.render(
    'run.html.jinja',
    title=f'{own or "run"}: {run.folder.name}',
    config=sorted(run.config.items()),
    games=sorted({e['games'] for e in run.evaluations}),
    header=header,
    rows=body if run.evaluations else [],
    figures=success_table.figures(run.evaluations),
    charts=[c for c in map(svg_chart.draw, charts) if c],
    other_charts=[c for c in map(svg_chart.draw, others) if c],
    time=time_split.table(run.training),
    estimator=run.estimator,
    progress=(
      [svg_chart.draw(p) for p in progress_curves.panels(run)]
      if run.estimator
      else []
    ),
    failures=failures.pick(
      [e for g in groups for e in g],
      judged,
      known[judged].label if judged else '',
    ),
    rules=failures.RULES,
    answer_failures=answer_failures,
    groups=[_group(members, discount) for members in groups[:group_limit]],
    methods={name: method.label for name, method in shown.items()},
    averaged=[m.label for m in shown.values() if m.unit == 'token'],
    own_scale=[m.label for m in shown.values() if not m.standardised],
    left_out=[
      (known[m].label, why)
      for m, why in reasons.items()
      if run.episodes
    ],
    discount=discount,
    trees=trees,
    iterations=len(run.training),
    number=svg_chart.number,
    decimal=lambda x: '-' if x is None else f'{x:.3f}',
  )  # fmt: skip


def save(run: run_data.RunData, *, methods: Sequence[str] = ()) -> pathlib.Path:
  """Writes report.html into the run's folder; returns its path."""
  path = run.folder / NAME
  files.write_text(path, render(run, methods=methods))
  return path
