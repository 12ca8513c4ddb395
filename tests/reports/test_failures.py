"""Which failures are picked, each rule by a case that it alone takes."""

from jaxcredit.reports import failures, prefix_tree_records
from tests.reports import prefix_tree_groups, run_files


def steps(*states, gigpo=-1.0, **changes):
  return [
    run_files.step(-1.0, gigpo, anchor_group=state, **changes)
    for state in states
  ]


WON = run_files.episode(0, 0, steps(0, 1, 2, 3), success=True)


def reasons(*episodes, method='gigpo'):
  return [
    (found['episode']['rollout'], found['step'], found['reason'])
    for found in failures.pick(list(episodes), method, 'GiGPO')
  ]


def test_a_near_miss_is_where_a_companion_won():
  near = run_files.episode(0, 1, steps(0, 9, 2, 8))
  nearer = run_files.episode(0, 2, steps(0, 3, 8))
  # All begin in state 0: that is near to nothing.
  far = run_files.episode(0, 3, steps(0, 7))
  (first, second) = reasons(WON, near, nearer, far)
  assert first == (
    2, 1, 'near miss: before step 2 it was in a state from which a rollout of '
    'its group won with one step more',
  )  # fmt: skip
  assert second[:2] == (1, 2) and 'with 2 steps more' in second[2]


def test_states_of_another_group_do_not_count():
  other = run_files.episode(1, 1, steps(0, 3, 2))
  assert reasons(WON, other) == []


def test_a_loop_is_one_state_again_and_again():
  loop = run_files.episode(0, 1, steps(0, 5, 6, 5, 5))
  twice = run_files.episode(0, 2, steps(0, 5, 6, 5))
  assert reasons(loop, twice) == [
    (1, 3, 'loop: 3 of its 5 steps were taken in one state (5)')
  ]


def test_refused_actions_are_counted():
  wrong = steps(0, 1, valid=False) + steps(2, grounded=False)
  refused = run_files.episode(0, 1, wrong)
  once = run_files.episode(0, 2, steps(0, 1) + steps(2, valid=False))
  assert reasons(refused, once) == [
    (1, 0, 'refused actions: 3 of its 3 actions had the wrong form, or could '
     'not be carried out'),
  ]  # fmt: skip


def test_credit_for_losing_is_that_of_the_method():
  paid = run_files.episode(0, 1, steps(0) + steps(1, gigpo=0.5))
  assert reasons(paid) == [
    (1, 1, 'credit for losing: GiGPO gives step 2 +0.50, though the episode '
     'was lost'),
  ]  # fmt: skip
  assert reasons(paid, method='grpo') == []
  assert reasons(paid, method=None) == []


def test_lost_environments_are_told():
  died = run_files.episode(0, 1, [], failure='it died')
  assert reasons(died) == [(1, 0, 'lost environment: it died')]


def test_an_episode_is_picked_once_and_a_rule_takes_two():
  lost = [
    run_files.episode(0, i, steps(*([0, 3] + i * [5]))) for i in range(1, 7)
  ]
  found = reasons(WON, *lost)
  assert len({rollout for rollout, *_ in found}) == len(found) == 4
  # Two near misses, then of the others those that loop the most.
  assert [r.partition(':')[0] for *_, r in found] == [
    'near miss', 'near miss', 'loop', 'loop',
  ]  # fmt: skip
  assert [rollout for rollout, *_ in found] == [1, 2, 6, 5]


def test_won_episodes_are_no_failures():
  assert reasons(WON) == []


def test_every_rule_is_stated():
  named = {rule.partition(':')[0] for rule in failures.RULES}
  assert named == {
    'near misses', 'loops', 'refused actions', 'credit for losing',
    'lost environments',
  }  # fmt: skip


def test_the_answer_that_went_the_right_way_longest():
  (found,) = failures.pick_answers([prefix_tree_groups.pens()])
  # 'so we multiply [36] it is' is what it shares with the right answer.
  assert found == {
    'group': 0,
    'answer': 1,
    'reason': 'its first 6 of 7 tokens are those of an answer with reward 1; '
    'its own is 0',
  }


def test_groups_without_a_wrong_answer_have_no_failure():
  same = prefix_tree_records.Group('q', [prefix_tree_groups.answer('a', 1.0)])
  assert failures.pick_answers([same]) == []
