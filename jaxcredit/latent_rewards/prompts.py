"""What the language model is told.

The course is that of LaRe (Qu et al. 2025, arXiv 2412.11120): task, state and
action form and a role instruction that is the same for all tasks; one request
to merge several answers; one to mend an answer that failed. The words are our
own. The authors' prompt for MuJoCo leaves the form of the action out, though
the function takes it; here it is told.
"""

from jaxcredit.latent_rewards import advice, operations
from jaxcredit.latent_rewards import task as task_lib

_ROLE = """\
You design evaluation factors for reinforcement learning. The agent is told \
only at the end of an episode how well it did. Your factors describe each \
step, so that a small network can learn from them which steps were good.

Work in this order.
1. Understand: say in your own words what the task asks for, and what each \
part of the input means.
2. Analyze: list behaviours that help and behaviours that harm, as far as \
they show in the input.
3. Functions: write one function that computes one factor for each of them.

Rules for the function:
- Use only what is listed above, and no more of it than a factor needs.
- Cover what matters for the task, in general terms; do not tune it to one \
situation. Between 1 and 10 factors.
- No factor may be infinite or NaN: guard divisions, roots and logarithms.
- The first axis is a batch of independent steps. Never mix its rows: reduce \
over axis=1 with keepdims=True.
- Return a list of arrays, each of the shape (batch, 1).

The function is written in a small part of Python:
- It begins with def {form}: and ends with its only return. No import, \
class, lambda, inner function, text, while or try.
- `jnp` is there, with these functions alone: {names}. Also jnp.pi, \
x.shape[1], x.astype(jnp.float32), and methods such as x.sum(axis=1, \
keepdims=True).
- Assignments to names, + - * / // % **, comparisons, & | ~, x[:, 2:4], \
lists, for i in range(5) with numbers that are written out, items.append(x).
- Choose between values with jnp.where(condition, a, b); `if` is for numbers \
that are written out. Elements of an array cannot be assigned.

Answer with one JSON object and nothing else. Its keys are "Understand", \
"Analyze" and "{key}"; the value of "{key}" is the text of the function."""

MERGE = """\
These were several proposals for the same function. Write one function that \
has every sound factor among them, each once, and add what all of them \
forgot. Keep the rules and the form of the answer: one JSON object with \
"Understand", "Analyze" and "Functions"."""

_FEEDBACK = """\
The function in your last answer was not accepted:
{reason}
Mend it, and answer again with the complete JSON object."""


def request(task: task_lib.Task) -> str:
  """The first message about a task."""
  forms = '\n\n'.join(
    f'The argument `{name}` is an array of the shape (batch, {size}):\n'
    f'{task.layout(name)}'
    for name, size in zip(task.parameters, task.sizes, strict=True)
  )
  role = _ROLE.format(
    form=f'{advice.NAME}({", ".join(task.parameters)})',
    names=', '.join(operations.NAMES),
    key='Functions',
  )
  return f'{task.summary}\n\n{forms}\n\n{role}'


def proposals(answers: list[str]) -> str:
  """The candidates as one answer."""
  return '\n\n'.join(
    f'Proposal {number}:\n{answer}' for number, answer in enumerate(answers, 1)
  )


def feedback(reason: str) -> str:
  """The message about an answer that failed."""
  return _FEEDBACK.format(reason=reason)
