"""Curves of a run as files, drawn with matplotlib."""

from matplotlib import figure

from jaxcredit import files
from jaxcredit.reports import run_data, run_panels, time_split

_SIZES = ('1', '2-4', '5-9', '10-49', '50+')


def draw(run: run_data.RunData) -> figure.Figure:
  """Success, episode length, anchor groups and where the time goes."""
  picture = figure.Figure(figsize=(11, 6.5), layout='constrained')
  axes = picture.subplots(2, 2)
  records = run.training
  for axis, name, title, factor in (
    (axes[0, 0], 'success_rate', 'success in training, per cent', 100),
    (axes[0, 1], 'episode_length', 'steps of an episode', 1),
  ):
    x, y = run_panels.series(records, name)
    y = [factor * value for value in y]
    axis.plot(x, y, color='0.75', linewidth=1)
    axis.plot(x, run_panels.smooth(y), color='C0', label='mean of 5')
    axis.set_title(title)
    axis.set_xlabel('iteration')
    axis.set_ylim(bottom=0)
  evaluated = [
    (e['iteration'], 100 * e['success_rate'])
    for e in run.evaluations
    if e.get('success_rate') is not None
  ]
  axes[0, 0].plot(
    *zip(*evaluated, strict=True) if evaluated else ([], []),
    'o',
    color='C3',
    label='evaluation',
  )
  axes[0, 0].legend(frameon=False)
  histograms = [
    (r['iteration'], r['anchor_group_sizes'])
    for r in records
    if r.get('anchor_group_sizes')
  ]
  if histograms:
    x = [iteration for iteration, _ in histograms]
    axes[1, 0].stackplot(
      x,
      *[[100 * h.get(size, 0) for _, h in histograms] for size in _SIZES],
      labels=_SIZES,
      colors=[f'{shade:.2f}' for shade in (0.9, 0.72, 0.55, 0.38, 0.2)],
    )
    axes[1, 0].legend(title='size', loc='lower left', ncols=5, fontsize=8)
  title = 'steps by size of their anchor group, per cent'
  x, y = run_panels.series(records, 'grounding_accuracy')
  if x and not histograms:
    # Without anchors there is room for what else tells of the actions.
    axes[1, 0].plot(x, [100 * value for value in y], color='C2')
    axes[1, 0].set_ylim(0, 100)
    title = 'actions that could be carried out, per cent'
  axes[1, 0].set_title(title)
  axes[1, 0].set_xlabel('iteration')
  timed = time_split.curves(records)
  if timed:
    x = next(iter(timed.values()))[0]
    axes[1, 1].stackplot(x, [y for _, y in timed.values()], labels=timed)
  axes[1, 1].set_title('seconds of an iteration')
  axes[1, 1].set_xlabel('iteration')
  if timed:
    axes[1, 1].legend(frameon=False, loc='upper right')
  return picture


def save(run: run_data.RunData) -> None:
  """Writes curves.png and curves.pdf into the run's folder."""
  picture = draw(run)
  files.save_figure(picture, run.folder / 'curves.png', dpi=120)
  files.save_figure(picture, run.folder / 'curves.pdf')
