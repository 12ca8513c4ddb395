"""Pictures of a progress estimator: files by matplotlib, and charts of a page.

How its predictions are calibrated, how its loss fell, and estimated beside true
progress along a few episodes.
"""

import itertools

from matplotlib import figure

from jaxcredit import files
from jaxcredit.reports import run_data, svg_chart

_COLUMNS = 3


def draw(run: run_data.RunData) -> figure.Figure:
  """Calibration, loss, and the progress of a few held-out episodes.

  Args:
    run: with an estimator.
  """
  episodes = run.estimator['episodes']
  lines = 1 + -(-max(len(episodes) - 1, 0) // _COLUMNS)
  picture = figure.Figure(figsize=(11, 3.4 * lines), layout='constrained')
  axes = picture.subplots(lines, _COLUMNS, squeeze=False).ravel()
  _calibration(axes[0], run.estimator)
  _loss(axes[1], run)
  for axis, episode in zip(axes[2:], episodes, strict=False):
    _progress(axis, episode)
  for axis in axes[2 + len(episodes) :]:
    axis.remove()
  return picture


def _calibration(axis, estimator) -> None:
  table = estimator['calibration']
  axis.plot([0, 1], [0, 1], color='0.75', linewidth=1)
  most = max([row['episodes'] for row in table] + [1])
  axis.scatter(
    [row['predicted'] for row in table],
    [row['outcome'] for row in table],
    s=[20 + 120 * row['episodes'] / most for row in table],
    color='C0',
    alpha=0.8,
  )
  axis.set_title('outcome by prediction, held-out tasks')
  axis.set_xlabel('sum of contributions')
  axis.set_ylabel('mean outcome')


def _loss(axis, run) -> None:
  seen = [r for r in run.fit if r.get('held_out_loss') is not None]
  axis.plot(
    [r['iteration'] for r in seen],
    [r['held_out_loss'] for r in seen],
    color='C0',
    label='held-out tasks',
  )
  constant = run.estimator['constant_loss']
  if constant is not None:
    axis.axhline(
      constant, color='0.6', linestyle='--', label='the mean outcome'
    )
  axis.set_title('squared error of the outcome')
  axis.set_xlabel('optimizer steps')
  axis.set_ylim(bottom=0)
  axis.legend(frameon=False)


def _progress(axis, episode) -> None:
  steps = range(len(episode['contributions']) + 1)
  estimated = [0.0, *itertools.accumulate(episode['contributions'])]
  axis.plot(steps, estimated, color='C0', marker='.', label='estimated')
  if any(value is not None for value in episode['progress']):
    # Where it is not known, there is a gap.
    true = [float('nan') if v is None else v for v in episode['progress']]
    axis.step(
      steps, [float('nan'), *true], where='post', color='C1', label='true'
    )
  axis.set_title(
    f'an episode that was {"won" if episode["success"] else "lost"}'
  )
  axis.set_xlabel('step')
  axis.set_ylabel('progress')
  axis.legend(frameon=False)


def panels(run: run_data.RunData) -> list[svg_chart.Panel]:
  """The same as charts of a page.

  Args:
    run: with an estimator.
  """
  table = run.estimator['calibration']
  seen = [
    (r['iteration'], r['held_out_loss'])
    for r in run.fit
    if r.get('held_out_loss') is not None
  ]
  loss = [svg_chart.finite('held-out tasks', seen)]
  constant = run.estimator['constant_loss']
  if constant is not None and seen:
    ends = [(seen[0][0], constant), (seen[-1][0], constant)]
    loss.append(svg_chart.finite('the mean outcome', ends))
  result = [
    svg_chart.Panel(
      'outcome by prediction, held-out tasks',
      'sum of contributions',
      [
        svg_chart.finite(
          'mean outcome',
          [(row['predicted'], row['outcome']) for row in table],
          kind='marks',
        ),
        svg_chart.Curve('as predicted', [0, 1], [0, 1]),
      ],
    ),
    svg_chart.Panel(
      'squared error of the outcome', 'optimizer steps', loss, floor=0
    ),
  ]
  for number, episode in enumerate(run.estimator['episodes'], start=1):
    estimated = [0.0, *itertools.accumulate(episode['contributions'])]
    won = 'won' if episode['success'] else 'lost'
    result.append(
      svg_chart.Panel(
        f'progress in episode {number}, {won}',
        'step',
        [
          svg_chart.finite('estimated', enumerate(estimated)),
          svg_chart.finite(
            'true', enumerate(episode['progress'], start=1), kind='steps'
          ),
        ],
      )
    )
  return result


def save(run: run_data.RunData) -> None:
  """Writes progress.png and progress.pdf into the run's folder."""
  picture = draw(run)
  files.save_figure(picture, run.folder / 'progress.png', dpi=120)
  files.save_figure(picture, run.folder / 'progress.pdf')
