"""Tasks of several agents in the plane.

The layouts of the first two are those of JaxMARL (Rutherford et al. 2023,
arXiv 2311.10090; `simple_spread` and `simple_tag` of its `environments/mpe`),
read off its code. The authors of LaRe changed the particle environments: their
agents see the six nearest landmarks and five nearest agents alone, 26 elements,
so their prompts do not fit here. One function serves every agent: it gets that
agent's own observation, and no action.
"""

from jaxcredit.latent_rewards import task

Part, Task = task.Part, task.Task


def _self() -> tuple[Part, ...]:
  return (
    Part(2, 'own velocity (x, y)', -1.0, 1.0),
    Part(2, 'own position (x, y), the arena being about -1 to 1', -1.2, 1.2),
  )


def _each(count: int, words: str) -> tuple[Part, ...]:
  return tuple(
    Part(2, words.format(number), -2.0, 2.0) for number in range(1, count + 1)
  )


def cooperative_navigation(agents: int = 3, landmarks: int = 3) -> Task:
  """Agents cover landmarks and do not collide (`simple_spread`).

  Args:
    agents: how many, at least 2.
    landmarks: how many, at least 1.
  """
  return Task(
    'cooperative_navigation',
    f'{agents} agents move in the plane, each in order to help the team. '
    f'Together they are to cover {landmarks} landmarks, one agent on each, '
    'and they must not run into each other: two agents collide where their '
    'distance is less than 0.3 (each has the radius 0.15).',
    (
      *_self(),
      *_each(landmarks, 'position of landmark {} minus own position (x, y)'),
      *_each(
        agents - 1,
        'position of other agent {} minus own position (x, y), in the order of '
        'their numbers',
      ),
      Part(
        2 * (agents - 1),
        'messages of the other agents; they are silent, so all are 0',
        0.0,
        0.0,
      ),
    ),
  )


def predator_prey(
  predators: int = 3, prey: int = 1, obstacles: int = 2
) -> Task:
  """Slower predators catch faster prey (`simple_tag`), a predator's view.

  Args:
    predators: how many, at least 2.
    prey: how many, at least 1.
    obstacles: how many, at least 1.
  """
  whose = 'the prey' if prey == 1 else 'the last of the prey'
  return Task(
    'predator_prey',
    f'{predators} predators, one of which you judge, hunt {prey} prey among '
    f'{obstacles} obstacles in the plane. They win as a team whenever one '
    'touches prey. The prey is faster than a predator, so that they must close '
    'in from several sides. A predator (radius 0.075) touches prey (radius '
    '0.05) where their distance is less than 0.125, and an obstacle (radius '
    '0.2) where it is less than 0.275.',
    (
      *_self(),
      *_each(obstacles, 'position of obstacle {} minus own position (x, y)'),
      *_each(predators - 1, 'position of other predator {} minus own (x, y)'),
      *_each(prey, 'position of prey {} minus own position (x, y)'),
      Part(2, f'velocity of {whose} (x, y)', -1.3, 1.3),
    ),
  )


def triangle_area() -> Task:
  """Three agents span a triangle; made up by the authors of LaRe.

  That task is not in what models have read, so that they cannot remember its
  reward. The authors' `simple_area` sorts the two other agents by their place;
  here they stand in the order of their numbers.
  """
  return Task(
    'triangle_area',
    'Three agents start close together in the plane. As a team they are to '
    'span a triangle, at whose corners they are, with an area as large as '
    'possible at every moment, and none may touch one of three large obstacles '
    'that stand still: an agent (radius 0.15) touches an obstacle (radius 0.4) '
    'where their distance is less than 0.55.',
    (
      Part(2, 'own velocity (x, y)', -1.0, 1.0),
      Part(2, 'own position (x, y)', -2.0, 2.0),
      *_each(3, 'position of obstacle {} minus own position (x, y)'),
      *_each(2, 'position of other agent {} minus own position (x, y)'),
    ),
  )
