"""Why a text is not taken as a latent reward function."""


class Refused(ValueError):
  """The text is outside the language, or beyond its bounds.

  Attributes:
    line: of the text, from 1; None where no line is to blame.
    construct: what stands there.
    advice: what to write in its place.
  """

  def __init__(self, construct: str, advice: str, line: int | None = None):
    where = '' if line is None else f'line {line}: '
    super().__init__(f'{where}{construct}: {advice}')
    self.line = line
    self.construct = construct
    self.advice = advice
