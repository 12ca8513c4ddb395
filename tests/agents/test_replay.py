"""The replay of transitions against a plain simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.agents import replay as replay_lib

E, Q, S = 2, 3, 4


def filled(turns, seed=0):
  """A replay after so many steps, and its episodes as lists."""
  generator = np.random.default_rng(seed)
  replay = replay_lib.init(
    environments=E, rounds=Q, horizon=S, observation=1, action=1, features=1
  )
  add = jax.jit(replay_lib.add, donate_argnums=0)
  # Of each environment: its episodes, the last of which goes on.
  stories = [[[]] for _ in range(E)]
  number = 0.0
  for _ in range(turns):
    terminated = generator.random(E) < 0.2
    now = np.arange(number, number + E, dtype=np.float32)[:, None]
    number += E
    replay, ended = add(
      replay,
      jnp.asarray(now),
      jnp.asarray(10 * now),
      jnp.asarray(-now),
      jnp.asarray(0.5 * now[:, 0]),
      jnp.asarray(now + 0.25),
      jnp.asarray(terminated),
    )
    for e in range(E):
      story = stories[e][-1]
      story.append((float(now[e, 0]), bool(terminated[e])))
      over = bool(terminated[e]) or len(story) == S
      assert bool(ended[e]) == over
      if over:
        stories[e].append([])
  return replay, stories


@pytest.mark.parametrize('turns', [3, 11, 40])
def test_drawn_transitions_know_their_episodes(turns):
  replay, stories = filled(turns)
  # An environment keeps its Q newest episodes, that which goes on included.
  known = {}
  for episodes in stories:
    for story in episodes[-Q:]:
      over = len(story) == S or (story and story[-1][1])
      total = sum(0.5 * name for name, _ in story)
      for t, (name, terminated) in enumerate(story):
        newest = t == len(story) - 1
        after = name + 0.25 if newest else story[t + 1][0]
        known[name] = (
          total, len(story), over and newest, terminated, after, over,
        )  # fmt: skip
  draw = jax.jit(replay_lib.sample, static_argnames=('batch', 'finished'))
  for finished in (False, True):
    batch = draw(replay, jax.random.key(1), 400, finished=finished)
    names = batch.observations[:, 0].tolist()
    expected = {n for n, facts in known.items() if facts[-1] or not finished}
    if not expected:
      assert not batch.steps.mask.any()
      continue
    # All of them, each about as often.
    assert set(names) == expected
    for i, name in enumerate(names):
      total, length, last, terminated, after, _ = known[name]
      assert float(batch.actions[i, 0]) == 10 * name
      assert float(batch.steps.features[i, 0]) == -name
      assert float(batch.steps.rewards[i]) == 0.5 * name
      assert float(batch.steps.returns[i]) == total
      assert int(batch.steps.lengths[i]) == length
      assert bool(batch.steps.last[i]) == last
      assert bool(batch.terminated[i]) == (terminated and last)
      assert float(batch.next_observations[i, 0]) == after
    counts = [names.count(name) for name in expected]
    assert max(counts) < 5 * 400 / len(expected)

  buffer, size = replay_lib.episodes(replay)
  ended = sorted((facts[0], facts[1]) for facts in known.values() if facts[2])
  rows = [m for m in range(E * Q) if buffer.mask[m].any()]
  assert all(m < int(size) for m in rows)
  assert (
    sorted((float(buffer.returns[m]), int(buffer.mask[m].sum())) for m in rows)
    == ended
  )


def test_what_is_refused():
  with pytest.raises(ValueError, match='rounds at least 2'):
    replay_lib.init(
      environments=1, rounds=1, horizon=3, observation=1, action=1, features=0
    )
