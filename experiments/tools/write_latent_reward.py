"""Has a language model write a latent reward function, and verifies it (LaRe).

  python -m experiments.tools.write_latent_reward --task=reacher --output=r.json
  python -m experiments.tools.write_latent_reward --task=reacher \
      --output=r.json --model=endpoint --url=https://api.openai.com/v1 \
      --model_name=gpt-4o
  python -m experiments.tools.write_latent_reward --task=reacher \
      --output=r.json --model=local --pretrained=QWEN_FOLDER

The first answers with examples that come with the library, and needs no model.
The key of an endpoint comes from a variable of the environment. The file holds
the function, its hash, and how it came to be; `stored.load` reads it.
"""

import datetime
import pathlib

from absl import app, flags

from experiments.run import command, console
from jaxcredit.environments.questions import question
from jaxcredit.latent_rewards import (
  endpoint,
  examples,
  language_model,
  recorded_answers,
  stored,
  tasks,
  transitions,
  writing,
)

_TASK = flags.DEFINE_enum(
  'task', None, tasks.NAMES, 'What the function is for.', required=True
)
_AGENTS = flags.DEFINE_integer(
  'agents',
  None,
  'Agents that learn, of cooperative_navigation and predator_prey; 3 if not '
  'given.',
  2,
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'File to write, .json.', required=True
)
_MODEL = flags.DEFINE_enum(
  'model',
  'recorded',
  ['recorded', 'endpoint', 'local'],
  'Who writes: answers that were recorded, a model behind an address that '
  "speaks OpenAI's protocol, or one that is read from a folder.",
)
_QUALITY = flags.DEFINE_enum(
  'quality',
  'good',
  examples.QUALITIES,
  'Which of the examples of the library --model=recorded ends with.',
)
_ANSWERS = flags.DEFINE_string(
  'answers',
  None,
  'Folder of recorded answers for --model=recorded, in place of the examples.',
)
_RECORD = flags.DEFINE_string(
  'record', None, 'Folder, new or empty, in which the answers are recorded.'
)
_URL = flags.DEFINE_string(
  'url', None, 'Address for --model=endpoint, such as http://localhost:8000/v1.'
)
_MODEL_NAME = flags.DEFINE_string(
  'model_name', None, 'Name of the model at that address.'
)
_KEY_VARIABLE = flags.DEFINE_string(
  'key_variable',
  endpoint.KEY_VARIABLE,
  'Variable of the environment with the key for that address, if it needs one.',
)
_TIMEOUT = flags.DEFINE_float(
  'timeout', 120.0, 'Seconds for a request to that address.', 0.1
)
_PRETRAINED = flags.DEFINE_string(
  'pretrained',
  None,
  'Model for --model=local: a folder in Hugging Face form, a .gguf file, or a '
  'name on the hub.',
)
_MAX_TOKENS = flags.DEFINE_integer(
  'max_tokens', 2_048, 'Tokens of an answer at most.', 1
)
_CANDIDATES = flags.DEFINE_integer(
  'candidates', 5, 'Answers that are merged; 1: none is.', 1
)
_TEMPERATURE = flags.DEFINE_float(
  'temperature',
  1.0,
  'Of the sampling of the candidates; 0: likeliest tokens.',
  0.0,
)
_LATER_TEMPERATURE = flags.DEFINE_float(
  'later_temperature',
  0.3,
  'Of the merged answer and of those mended; 0: likeliest.',
  0.0,
)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 5, 'Times that an answer that fails may be mended.', 0
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the model, where it has one.')
_TRANSITIONS = flags.DEFINE_string(
  'transitions',
  None,
  "Recorded transitions, .npz with 'observation' [N, D] and, for tasks of one "
  "agent, 'action' [N, A]. Without it they are drawn at random from the ranges "
  'in the description of the task.',
)
_DATE = flags.DEFINE_string(
  'date', None, 'Date for the record; that of today by default.'
)


def _needed(flag: flags.FlagHolder) -> str:
  if flag.value is None:
    raise ValueError(f'--model={_MODEL.value} needs --{flag.name}')
  return flag.value


def make_model() -> language_model.LanguageModel:
  """The model that the flags say.

  Raises:
    OSError: it, or a folder, is not there.
    ValueError: flags do not fit each other.
  """
  if _MODEL.value == 'endpoint':
    model = endpoint.Endpoint(
      _needed(_URL),
      _needed(_MODEL_NAME),
      key_variable=_KEY_VARIABLE.value,
      timeout=_TIMEOUT.value,
      max_tokens=_MAX_TOKENS.value,
    )
  elif _MODEL.value == 'local':
    # Imported here: the others need no policy.
    from jaxcredit.latent_rewards import local_model

    model = local_model.load(_needed(_PRETRAINED), new_tokens=_MAX_TOKENS.value)
  elif _ANSWERS.value is not None:
    model = recorded_answers.RecordedAnswers(_ANSWERS.value)
  else:
    model = examples.ExampleModel(_TASK.value, _QUALITY.value, _AGENTS.value)
  if _RECORD.value is not None:
    model = recorded_answers.Recorder(model, _RECORD.value)
  return model


def write(output: pathlib.Path) -> stored.LatentReward:
  """Writes the file.

  Raises:
    OSError: a file or folder is not as it should be.
    ValueError: flags do not fit, or no function was accepted.
    language_model.LanguageModelError: the model does not answer.
  """
  if output.exists():
    raise FileExistsError(f'{output} exists: choose another --output')
  task = tasks.named(_TASK.value, _AGENTS.value)
  if _TRANSITIONS.value is None:
    recorded = task.random_transitions()
  else:
    recorded = transitions.load(
      pathlib.Path(_TRANSITIONS.value).expanduser(), task.parameters, task.sizes
    )
  reward = writing.write(
    task,
    make_model(),
    recorded,
    date=_DATE.value or datetime.date.today().isoformat(),
    candidates=_CANDIDATES.value,
    temperature=_TEMPERATURE.value,
    later_temperature=_LATER_TEMPERATURE.value,
    rounds=_ROUNDS.value,
    seed=_SEED.value,
  )
  stored.save(reward, output)
  return reward


def show(reward: stored.LatentReward, output: pathlib.Path) -> None:
  """Prints what was written."""
  out = console.console.print
  out(reward.program.source.rstrip(), markup=False)
  failed = len(reward.provenance['failures'])
  rounds = f', after {failed} that failed' if failed else ''
  out(f'\naccepted on {reward.report.rows} transitions{rounds}')
  for number, factor in enumerate(reward.report.factors, 1):
    out(
      f'factor {number}: mean {factor.mean:.3g}, deviation {factor.std:.3g}, '
      f'{factor.minimum:.3g} to {factor.maximum:.3g}'
    )
  for warning in reward.report.warnings:
    out(f'note: {warning}', markup=False)
  out(f'{output}: sha256 {reward.program.sha256}', soft_wrap=True)


def write_and_show() -> None:
  """Writes what the flags say and prints what came of it."""
  output = pathlib.Path(_OUTPUT.value).expanduser()
  try:
    reward = write(output)
  except (
    language_model.LanguageModelError,
    question.CheckerUnavailable,
  ) as error:
    raise ValueError(str(error)) from error
  show(reward, output)


def main(argv):
  return command.run(argv, write_and_show)


if __name__ == '__main__':
  app.run(main)
