"""The initial policy: fine-tuned by imitation, pretrained, or from a run."""

import pathlib
import shutil

import jax
import numpy as np

from experiments.run import console
from experiments.text import evaluations, saved_policy
from jaxcredit.distributed import processes
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import metrics as metrics_lib
from jaxcredit.training import supervised
from jaxcredit.training import warm_start as warm_start_lib


def run(training) -> decoder.Params | None:
  """Prepares the policy, with its evaluation.

  Args:
    training: `training.TextTraining`, which is given tokenizer, configuration
      and collector.

  Returns:
    Parameters that training begins with; None if it was interrupted.
  """
  settings = training.settings
  if settings.start_from:
    return take_over(training, pathlib.Path(settings.start_from))
  params, rows = None, None
  if settings.pretrained:
    params, config = settings.policy.load(settings.pretrained)
    tokenizer = pretrained_tokenizer.load(settings.pretrained)
    training.prepare_policy(tokenizer, config)
  if settings.warm_start.steps or not settings.pretrained:
    rows = _demonstrations(training)
  if params is None:
    params = settings.policy.place(
      decoder.init(
        jax.random.fold_in(jax.random.key(settings.seed), 1), training.config
      )
    )
  console.print_line(
    f'policy: {decoder.count_parameters(params):,} parameters, '
    f'{training.config.vocab_size} tokens'
  )
  if not settings.warm_start.steps:
    training.evaluations.once(params, evaluations.BEFORE_TRAINING, 0)
    return params
  return _imitate(training, params, rows)


def _imitate(training, params, rows) -> decoder.Params | None:
  """Parameters after fine-tuning; None if it was interrupted."""
  settings, steps = training.settings, training.settings.warm_start.steps
  learner = learner_lib.Learner(
    supervised.make_loss(
      training.config,
      observation_weight=settings.warm_start.observation_weight,
    ),
    supervised.count_tokens,
    learner_lib.make_optimizer(
      learning_rate=settings.warm_start.learning_rate,
      warmup=min(50, steps // 10 + 1),
      decay_steps=steps,
      weight_decay=settings.learner.weight_decay,
      clip_norm=settings.learner.clip_norm,
    ),
    skip_limit=settings.learner.skip_limit,
    **settings.scoring,
  )
  with checkpoints_lib.Checkpoints(
    training.folder / 'checkpoints' / 'warm_start',
    every=max(steps // 4, 1),
    report=console.print_line,
  ) as checkpoints:
    start = checkpoints.latest or 0
    metrics_lib.drop_from(
      training.folder / metrics_lib.FILE_NAME,
      lambda r: r['stage'] != 'warm_start' or r['iteration'] <= start,
    )
    with console.bar('warm start', steps, start) as advance:

      def on_step(step, metrics):
        advance(1, f'loss {metrics["imitation_loss"]:.3f}')
        if step % 20 == 0 or step == steps:
          training.writer.write('warm_start', step, metrics)
        if step % 100 == 0 or step == steps:
          console.print_line(
            f'warm start {step}/{steps}  loss '
            f'{metrics["imitation_loss"]:.3f}  likely '
            f'{console.percent(metrics["accuracy"])}'
          )

      state, done = warm_start_lib.run(
        learner.init(params),
        learner,
        rows,
        steps=steps,
        batch_size=settings.warm_start.batch,
        seed=settings.seed,
        checkpoints=checkpoints,
        on_step=on_step,
        should_stop=lambda: training.stop.requested,
      )
  if done < steps:
    return None
  training.evaluations.once(state.params, evaluations.AFTER_WARM_START, 0)
  return state.params


def _demonstrations(training):
  """Demonstrated rows; trains the tokenizer, or reads that of the run."""
  settings, domain = training.settings, training.domain
  with (
    training.stop.at_once('demonstrations'),
    console.bar('demonstrations', domain.demonstration_count) as advance,
  ):
    shown = domain.demonstrate(advance)
  if shown.count < settings.warm_start.batch:
    raise ValueError(
      f'{shown.words}: fewer than --warm_start_batch '
      f'({settings.warm_start.batch}): {shown.advice}'
    )
  if not settings.pretrained:
    tokenizer = _trained_tokenizer(training, shown)
    training.prepare_policy(
      tokenizer,
      config_lib.DecoderConfig(
        vocab_size=settings.policy.vocabulary(tokenizer.vocab_size),
        **vars(settings.sizes),
        **settings.policy.computing(False),
      ),
    )
  row_tokens = settings.limits.row_tokens
  rows = shown.rows(training.tokenizer, training.text_format, row_tokens)
  if not rows:
    raise ValueError(
      f'no demonstration fits a row of --row_tokens={row_tokens} tokens: give '
      'more'
    )
  lengths = [len(row.tokens) for row in rows]
  console.print_line(
    f'{shown.words}; rows of {np.mean(lengths):.0f} tokens on average, '
    f'{max(lengths)} at most'
  )
  return episodes_lib.pack_rows(rows, range(len(rows)), row_tokens)


def _trained_tokenizer(training, shown) -> tokenizer_lib.Tokenizer:
  """The tokenizer of the run, trained by its first process."""
  path = training.folder / 'tokenizer'
  if processes.is_first() and not (path / 'tokenizer.json').exists():
    tokenizer_lib.train_tokenizer(
      shown.corpus(training.text_format), training.settings.vocabulary
    ).save(path)
  processes.wait()
  return tokenizer_lib.Tokenizer.load(path)


def take_over(training, source: pathlib.Path) -> decoder.Params:
  """Takes the warm start of another run, with its evaluation."""
  options = training.settings.policy
  policy = saved_policy.load(source, 'warm_start')
  params = options.place(policy.params)
  training.prepare_policy(policy.tokenizer, options.onto(policy.config))
  path = training.folder / 'tokenizer'
  if (
    processes.is_first()
    and not path.exists()
    and (source / 'tokenizer').exists()
  ):
    shutil.copytree(source / 'tokenizer', path)
  console.print_line(f'starting from the warm start of {source}')
  training.evaluations.take_over(source)
  training.evaluations.once(params, evaluations.AFTER_WARM_START, 0)
  return params
