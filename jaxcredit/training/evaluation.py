"""Evaluation: episodes of held-out tasks, success by kind of task."""

import collections
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcredit.distributed import processes
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib

FILE_NAME = 'evaluations.json'


def summarise(
  episodes: Sequence[episodes_lib.Episode],
  task_type: Callable[[Any], str],
) -> dict[str, Any]:
  """Counts successes by kind of task.

  Args:
    episodes: those of an evaluation. An episode that its environment lost
      counts as a failure.
    task_type: task -> its kind.

  Returns:
    A dict with episodes, successes, success_rate, mean_length, mean_reward (of
    an episode), grounding_accuracy (share of the actions that the environment
    could carry out; None where it does not say) and, under by_task_type, the
    same for each kind.
  """

  def mean(values):
    return sum(values) / len(values) if values else None

  def count(chosen):
    return {
      'episodes': len(chosen),
      'successes': sum(e.success for e in chosen),
      'success_rate': mean([e.success for e in chosen]),
      'mean_length': collector_lib.mean_length(chosen),
      'mean_reward': mean(
        [0.0 if e.failure else e.episode_return for e in chosen]
      ),
      'grounding_accuracy': episodes_lib.grounding_accuracy(chosen),
    }

  kinds = collections.defaultdict(list)
  for episode in episodes:
    kinds[task_type(episode.task)].append(episode)
  return {
    **count(episodes),
    'by_task_type': {kind: count(kinds[kind]) for kind in sorted(kinds)},
  }


def evaluate(
  collector: collector_lib.Collector,
  params,
  tasks: Sequence[Any],
  task_type: Callable[[Any], str],
  key: jax.Array,
  *,
  temperature: float,
  rollouts: int = 1,
  on_episode: Callable[[int], None] | None = None,
) -> dict[str, Any]:
  """Plays each task `rollouts` times and summarises; see `summarise`."""
  played = collector.collect(
    params,
    tasks,
    rollouts,
    key,
    temperature=temperature,
    on_episode=on_episode,
  )
  return summarise(played, task_type)


def record(
  folder: pathlib.Path,
  stage: str,
  iteration: int,
  games: str,
  summary: dict[str, Any],
) -> None:
  """Adds an evaluation to the run, in place of one of the same stage.

  Of several processes, the first does.

  Args:
    folder: the run's folder.
    stage: what the policy had behind it, such as 'after warm start'.
    iteration: training iterations behind it.
    games: where the tasks come from.
    summary: what `evaluate` returned.
  """
  if not processes.is_first():
    return
  path = pathlib.Path(folder) / FILE_NAME
  entries = read(folder)
  entries = [
    e for e in entries if (e['stage'], e['iteration']) != (stage, iteration)
  ]
  entries.append(
    {'stage': stage, 'iteration': iteration, 'games': games, **summary}
  )
  temporary = path.with_suffix('.tmp')
  temporary.write_text(json.dumps(entries, indent=2), encoding='utf-8')
  temporary.replace(path)


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the run's evaluations, oldest first."""
  path = pathlib.Path(folder) / FILE_NAME
  if not path.exists():
    return []
  return json.loads(path.read_text(encoding='utf-8'))
