"""Tasks of robots simulated by MuJoCo, as Gymnasium's version 5 has them.

Layouts are those of its code: positions without those that are left out, then
velocities, each in the order of the joints. Its documentation of the
half-cheetah, which LaRe's prompt repeats, has wrong words beside right joints
(positions are called velocities); LaRe's prompt says 18 elements and lists 17,
and leaves the action out altogether.
"""

from jaxcredit.latent_rewards import task

Part, Task = task.Part, task.Task

_ONE = 'angle of the {} (rad)'
_SPEED = 'angular velocity of the {} (rad/s)'
_TORQUE = 'torque at the {}, -1 to 1'


def _joints(names: tuple[str, ...], words: str, size: float):
  return tuple(Part(1, words.format(name), -size, size) for name in names)


def reacher() -> Task:
  """Reacher-v5: an arm of two links reaches for a target."""
  return Task(
    'reacher',
    'A robot arm with two joints moves in the plane. Its fingertip is to reach '
    'a target, which stands at a random place, and to stay there, with little '
    'torque.',
    (
      Part(2, 'cosines of the angles of the first and second joint'),
      Part(2, 'sines of the angles of the first and second joint'),
      Part(2, 'position of the target (x, y), in m', -0.2, 0.2),
      Part(2, 'angular velocities of the two joints (rad/s)', -5.0, 5.0),
      Part(
        2, 'position of the fingertip minus that of the target (x, y), in m',
        -0.4, 0.4,
      ),
    ),
    (Part(2, 'torques at the two joints, -1 to 1'),),
  )  # fmt: skip


def half_cheetah() -> Task:
  """HalfCheetah-v5: a two-legged robot runs forward."""
  joints = (
    'back thigh', 'back shin', 'back foot',
    'front thigh', 'front shin', 'front foot',
  )  # fmt: skip
  return Task(
    'half_cheetah',
    'A robot with a back and a front leg in a vertical plane is to run to the '
    'right (the direction of increasing x) as fast as it can, with little '
    'torque.',
    (
      Part(1, 'height of the torso, relative to its start, in m', -0.6, 0.4),
      Part(1, 'pitch angle of the torso (rad); 0 is level', -3.0, 3.0),
      *_joints(joints, _ONE, 1.0),
      Part(1, 'velocity of the torso along x (m/s)', -3.0, 8.0),
      Part(1, 'velocity of the torso along z, upward (m/s)', -3.0, 3.0),
      Part(1, 'angular velocity of the torso (rad/s)', -5.0, 5.0),
      *_joints(joints, _SPEED, 20.0),
    ),
    _joints(joints, _TORQUE, 1.0),
  )


def walker2d() -> Task:
  """Walker2d-v5: a two-legged robot walks and does not fall."""
  joints = (
    'right thigh', 'right leg', 'right foot',
    'left thigh', 'left leg', 'left foot',
  )  # fmt: skip
  return Task(
    'walker2d',
    'A robot with two legs in a vertical plane is to walk to the right (the '
    'direction of increasing x) as fast as it can without falling, with little '
    'torque. It has fallen, and the episode ends, where the height of its '
    'torso is outside of 0.8 to 2.0 m or the angle of its torso outside of -1 '
    'to 1 rad.',
    (
      Part(1, 'height of the torso, in m', 0.7, 2.0),
      Part(1, 'angle of the torso (rad); 0 is upright', -1.2, 1.2),
      *_joints(joints, _ONE, 1.0),
      Part(1, 'velocity of the torso along x (m/s)', -3.0, 6.0),
      Part(1, 'velocity of the torso along z, upward (m/s)', -3.0, 3.0),
      Part(1, 'angular velocity of the torso (rad/s)', -5.0, 5.0),
      *_joints(joints, _SPEED, 10.0),
    ),
    _joints(joints, _TORQUE, 1.0),
  )


def humanoid_standup() -> Task:
  """HumanoidStandup-v5: a humanoid that lies on the ground stands up."""
  angles = (
    'abdomen about z', 'abdomen about y', 'abdomen about x',
    'right hip about x', 'right hip about z', 'right hip about y',
    'right knee', 'left hip about x', 'left hip about z', 'left hip about y',
    'left knee', 'right shoulder, first axis', 'right shoulder, second axis',
    'right elbow', 'left shoulder, first axis', 'left shoulder, second axis',
    'left elbow',
  )  # fmt: skip
  # The motors of the abdomen stand in another order than its joints.
  motors = (angles[1], angles[0], *angles[2:])
  return Task(
    'humanoid_standup',
    'A humanoid robot lies on the ground. It is to stand up and to keep '
    'standing: the higher its torso, the better. It should use little torque '
    'and not be hit hard.',
    (
      Part(1, 'height of the torso, in m', 0.05, 1.6),
      Part(4, 'orientation of the torso, a unit quaternion (w, x, y, z)'),
      *_joints(angles, _ONE, 1.5),
      Part(3, 'velocity of the torso (x, y, z), in m/s', -2.0, 2.0),
      Part(3, 'angular velocity of the torso (x, y, z), in rad/s', -5.0, 5.0),
      *_joints(angles, _SPEED, 10.0),
      Part(
        130, 'inertia and mass of each of the 13 bodies, 10 elements a body',
        -5.0, 5.0,
      ),
      Part(
        78, 'velocity of each of the 13 bodies, 6 elements a body: angular (x, '
        'y, z), linear (x, y, z)', -5.0, 5.0,
      ),
      Part(17, 'forces of the motors at the joints', -40.0, 40.0),
      Part(
        78, 'external contact forces on each of the 13 bodies, 6 elements a '
        'body: torque (x, y, z), force (x, y, z)', -20.0, 20.0,
      ),
    ),
    tuple(
      Part(1, f'control of the motor at the {name}, -0.4 to 0.4', -0.4, 0.4)
      for name in motors
    ),
  )  # fmt: skip
