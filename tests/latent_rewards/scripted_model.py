"""A language model that says what it was told, and keeps what it was asked."""

from jaxcredit.latent_rewards import language_model


class ScriptedModel:
  """Gives answers one after the other; the last one again and again."""

  name = 'scripted'

  def __init__(self, *answers):
    self.answers = list(answers)
    self.asked = []

  def complete(self, messages, n, temperature, seed):
    self.asked.append(([dict(m) for m in messages], n, temperature, seed))
    found = []
    for _ in range(n):
      found.append(self.answers[0])
      if len(self.answers) > 1:
        self.answers.pop(0)
    if isinstance(found[0], Exception):
      raise found[0]
    return found


assert isinstance(ScriptedModel(), language_model.LanguageModel)
