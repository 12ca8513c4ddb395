"""A language model writes a latent reward function, and it is verified.

LaRe (Qu et al. 2025, arXiv 2412.11120): several candidates, one answer merged
from them ("self-prompting"), and errors given back until the function runs.
The authors' code asks for ever where that never happens, and takes an empty
answer for a function without factors; here the rounds are counted, and there
is a function or an error.
"""

from typing import Any

from jaxcredit.latent_rewards import (
  answers,
  language_model,
  prompts,
  refusal,
  stored,
  transitions,
  verification,
)
from jaxcredit.latent_rewards import task as task_lib

Message = language_model.Message


class NothingAccepted(ValueError):
  """No answer was accepted.

  Attributes:
    reasons: why, for each round.
  """

  def __init__(self, model: str, reasons: list[str]):
    rounds = '\n'.join(f'  {n}. {reason}' for n, reason in enumerate(reasons))
    super().__init__(
      f'{model} wrote no function that was accepted; the answer (0) and what '
      f'it mended failed thus:\n{rounds}\nTry another seed, more rounds, or '
      'another model.'
    )
    self.reasons = tuple(reasons)


def write(
  task: task_lib.Task,
  model: language_model.LanguageModel,
  recorded: transitions.Transitions,
  *,
  date: str,
  candidates: int = 5,
  temperature: float = 1.0,
  later_temperature: float = 0.3,
  rounds: int = 5,
  seed: int = 0,
  **options: Any,
) -> stored.LatentReward:
  """Asks for a function until one is accepted.

  Args:
    task: what the function is for.
    model: that is asked.
    recorded: transitions of the task.
    date: for the record.
    candidates: first answers; 1: none is merged (the paper's ablation).
    temperature: of the candidates.
    later_temperature: of the merged answer and of what is mended.
    rounds: times that an answer may be mended.
    seed: of the model's draws; each request takes the next.
    **options: of `verification.verify`.

  Returns:
    The function, with all that was said as its provenance.

  Raises:
    NothingAccepted: all rounds failed; it holds the reasons.
    ValueError: a setting makes no sense.
    language_model.LanguageModelError: the model gives no answers.
  """
  if candidates < 1 or rounds < 0:
    raise ValueError(f'candidates {candidates} and rounds {rounds}')
  provenance: dict[str, Any] = {
    'model': model.name,
    'date': date,
    'candidates': candidates,
    'temperature': temperature,
    'later_temperature': later_temperature,
    'seed': seed,
  }
  base: list[Message] = [
    {'role': 'user', 'content': prompts.request(task)},
  ]
  first = _complete(model, base, candidates, temperature, seed)
  provenance['proposals'] = first
  answer = first[0]
  if candidates > 1:
    base += [
      {'role': 'assistant', 'content': prompts.proposals(first)},
      {'role': 'user', 'content': prompts.MERGE},
    ]
    (answer,) = _complete(model, base, 1, later_temperature, seed + 1)
  messages = list(base)
  reasons: list[str] = []
  for number in range(rounds + 1):
    # What is mended replaces what failed, and its reason the one before.
    messages = [*base, {'role': 'assistant', 'content': answer}]
    try:
      source = answers.source_of(answer)
      program, report = verification.verify(
        source, task.parameters, recorded, **options
      )
    except (refusal.Refused, verification.Unverified) as error:
      reasons.append(str(error))
    else:
      provenance |= {'messages': messages, 'failures': reasons}
      return stored.LatentReward(program, report, task.name, provenance)
    if number < rounds:
      messages.append(
        {'role': 'user', 'content': prompts.feedback(reasons[-1])}
      )
      (answer,) = _complete(
        model, messages, 1, later_temperature, seed + 2 + number
      )
  raise NothingAccepted(model.name, reasons)


def _complete(
  model: language_model.LanguageModel,
  messages: list[Message],
  n: int,
  temperature: float,
  seed: int,
) -> list[str]:
  found = model.complete(messages, n, temperature, seed)
  if len(found) != n or not all(isinstance(text, str) for text in found):
    raise language_model.LanguageModelError(
      f'{model.name} gave {len(found)} answers in place of {n}'
    )
  return found
