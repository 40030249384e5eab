"""θ has one owner: it keeps what it is given exactly, and tells all that show it, once a change."""

import pytest

from stncourse import theta_playground
from stncourse.playground.parameters import IDENTITY, LIMITS, compose, decompose
from stncourse.playground.pose import Pose

THETA = (0.61234, 0.1, 0.0, 0.0, 0.61234, 0.25)


def watched(theta=IDENTITY):
    """A pose, and the list of the θs that an observer of it has been told."""
    pose, told = Pose(theta), []
    pose.observe(lambda pose: told.append(pose.theta))
    return pose, told


def test_an_observer_is_told_at_once_and_once_a_change():
    pose, told = watched()
    pose.put(THETA)
    pose.move("rotation", 30.0)
    assert told == [IDENTITY, THETA, pose.theta]


def test_a_theta_is_kept_exactly_with_the_parameters_that_make_it():
    pose, _ = watched(THETA)
    assert pose.theta == THETA
    assert pose.parameters == decompose(THETA)
    assert pose.remark == ""


def test_moving_one_parameter_keeps_the_others_exactly():
    pose, _ = watched(THETA)
    pose.move("shift_x", 0.3)
    assert pose.parameters == decompose(THETA) | {"shift_x": 0.3}
    assert pose.theta == compose(pose.parameters)


@pytest.mark.parametrize(
    ("theta", "remark"), [((5, 0, 0, 0, 1, 0), "cannot reach this θ"), ((0, 1, 0, 0, 1, 0), "cannot show this θ")]
)
def test_what_the_sliders_cannot_do_is_remarked_until_one_is_moved(theta, remark):
    pose, _ = watched(theta)
    assert pose.theta == theta
    assert remark in pose.remark
    assert all(low <= pose.parameters[name] <= high for name, (low, high) in LIMITS.items())
    pose.move("shift_y", 0.5)
    assert pose.remark == ""


@pytest.mark.parametrize("theta", [(float("nan"),) * 6, (1, 0), "identity"])
def test_what_is_no_theta_changes_nothing_and_nobody_is_told(theta):
    pose, told = watched(THETA)
    with pytest.raises((TypeError, ValueError), match=r"^theta: "):
        pose.put(theta)
    assert (pose.theta, pose.parameters, told) == (THETA, decompose(THETA), [THETA])


def test_it_is_telling_while_it_tells_and_not_after_an_error():
    pose, telling = Pose(IDENTITY), []
    pose.observe(lambda pose: telling.append(pose.telling))
    assert (telling, pose.telling) == ([True], False)
    with pytest.raises(ZeroDivisionError):
        pose.observe(lambda pose: 1 / 0)
    assert not pose.telling


@pytest.mark.parametrize("device", ["browser", "cpu"])
def test_the_widgets_show_the_pose_and_hold_no_theta_of_their_own(device):
    playground = theta_playground(device=device)
    told = []
    playground.pose.observe(lambda pose: told.append(pose.theta))
    playground.sliders["rotation"].value = 30
    playground.boxes[2].value = "0.25"
    playground.preset.value = "mirror"
    playground.reset.click()
    assert len(told) == 5  # no widget that shows a change takes it for the hand's
    playground.pose.put(THETA)
    assert playground.settings.theta == THETA
    assert [box.value for box in playground.boxes] == [f"{value:g}" for value in THETA]
    assert playground.sliders["scale_x"].value == pytest.approx(0.6)
