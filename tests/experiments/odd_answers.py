"""A domain that is played in no time: two answers of odd length win."""

import dataclasses

from experiments.domains import expert_demonstrations
from jaxcredit.environments import protocol


@dataclasses.dataclass(frozen=True)
class Task:
  """What there is to say."""

  task_description: str


class OddAnswers:
  """Any policy wins at times, and the environment knows how far it has come."""

  def reset(self, task: Task) -> protocol.TextStep:
    self._task = task
    self._odd = 0
    return self._answer(0.0)

  def step(self, action: str) -> protocol.TextStep:
    self._odd += len(action) % 2
    return self._answer(float(self._odd == 2))

  def progress(self) -> float:
    return min(self._odd, 2) / 2

  def _answer(self, reward) -> protocol.TextStep:
    said = f'{self._task.task_description}{self._odd}'
    return protocol.TextStep(said, reward, reward > 0, False, ('a', 'aa'), said)


class OddAnswersDomain:
  """See `experiments.text.domain.Domain`."""

  won = 'games won'
  answers = False
  demonstration_count = 12

  def load(self) -> None:
    self.train_tasks = [Task(letter) for letter in 'abcdefgh']
    self.train_from = 'letters'
    self.test_tasks = [Task(letter) for letter in 'xyz']
    self.test_from = 'other letters'

  def environment(self):
    return OddAnswers

  def task_sentence(self, task: Task) -> str:
    return task.task_description

  def task_type(self, task: Task) -> str:
    del task
    return 'letter'

  def demonstrate(self, on_task) -> expert_demonstrations.ExpertEpisodes:
    traces = []
    for number in range(self.demonstration_count):
      environment, task = OddAnswers(), self.train_tasks[number % 8]
      seen, trace = environment.reset(task), []
      # As often even as odd, so that a policy wins at times.
      for action in ('a', 'aa', 'a')[number % 2 :]:
        trace.append(expert_demonstrations.Demonstration(seen, action))
        seen = environment.step(action)
      traces.append((task, trace))
      on_task()
    return expert_demonstrations.ExpertEpisodes(
      traces, len(traces), self.task_sentence, self.won, ''
    )
