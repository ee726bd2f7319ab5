import numpy as np
import pytest

from silot_gym.evaluation.connected_components import annotate
from silot_gym.evaluation.protocol import METRICS, PAPER, clips, format_table, score
from silot_gym.evaluation.tracks import Tracks

PERFECT = {"MOTA": 1.0, "AP": 1.0, "count_error": 0.0, "HOTA": 1.0, "IDF1": 1.0}


def test_tight_boxes_around_all_that_is_seen_are_perfect():
    """The truth's boxes have half a pixel around what is seen."""
    rng = np.random.default_rng(0)
    palette = np.array([(0, 0, 0), (200, 0, 0), (0, 0, 200)], np.uint8)
    truth = [annotate(palette[rng.choice(3, (4, 30, 25), p=[0.96, 0.02, 0.02])]) for _ in range(2)]
    assert all(tracks.present.sum() > 20 for tracks in truth)
    scored = score(truth, [tracks.grown(-0.5) for tracks in truth])
    assert {name: scored[name] for name in PERFECT} == pytest.approx(PERFECT)
    assert tuple(scored) == METRICS


def test_the_half_pixel_may_be_left_out():
    """A square of 3 pixels: its box has an area of 9, the truth's of 16."""
    video = np.zeros((2, 20, 20, 3), np.uint8)
    video[:, 5:8, 9:12] = 200
    scored = score([annotate(video)], [Tracks.from_frames([[[9, 5, 12, 8]]] * 2, [[0]] * 2)])
    assert (scored["MOTA"], scored["AP"]) == pytest.approx((1, 1))
    assert (scored["tight_MOTA"], scored["tight_AP"]) == pytest.approx((1, 5 / 9))  # IoU .5625


def test_each_figure_has_its_own_threshold_of_confidence():
    first, second = [0, 0, 10, 10], [20, 0, 30, 10]
    truth = [Tracks.from_frames([[first, second]], [[0, 1]]).grown(0.5)]

    def scored(confidence, **options):
        found = [Tracks.from_frames([[first, second]], [[0, 1]], [[1.0, confidence]])]
        figures = score(truth, found, **options)
        return {name: figures[name] for name in PERFECT}

    assert scored(0.6) == pytest.approx(PERFECT)
    assert scored(0.5) == pytest.approx({**PERFECT, "count_error": 1.0})
    faint = scored(0.04)
    assert (faint["MOTA"], faint["AP"], faint["IDF1"]) == pytest.approx((1 / 2, 1, 2 / 3))
    assert faint["HOTA"] < 1
    assert scored(0.04, confidence_threshold=0.03)["MOTA"] == 1
    assert scored(0.2, confidence_threshold=0.3)["MOTA"] == 1 / 2


def test_the_crops_fit_the_emulators_frames_and_the_papers_sizes():
    sizes = {
        game: (bottom - top, right - left)
        for game, (top, bottom, left, right) in ((name, row.crop) for name, row in PAPER.items())
    }
    assert sizes == {
        "SpaceInvaders": (195, 160),
        "Asteroids": (210, 160),
        "Carnival": (185, 160),
        "WizardOfWor": (210, 160),
    }


def test_the_carnival_crop_holds_the_playfield_between_the_white_lines():
    ale_py = pytest.importorskip("ale_py")
    gym = pytest.importorskip("gymnasium")
    gym.register_envs(ale_py)
    env = gym.make("ALE/Carnival-v5")
    frame, _ = env.reset(seed=0)
    for _ in range(30):
        frame, *_ = env.step(0)
    lines = np.flatnonzero((frame == (170, 170, 170)).all(axis=(1, 2)))  # white from side to side
    top, bottom, _, _ = PAPER["Carnival"].crop
    assert top == lines[0] + 1
    assert lines[1] - 1 <= bottom <= lines[1]


def test_clips_are_the_same_for_the_same_seed():
    assert clips([100, 300], seed=3) == clips([100, 300], seed=3)
    assert clips([100, 300], seed=3) != clips([100, 300], seed=4)


def test_clips_lie_inside_their_episodes_and_are_drawn_once():
    lengths = [5, 40, 8, 200]
    drawn = clips(lengths, num_clips=100)
    assert len(set(drawn)) == 100
    assert all(start >= 0 and start + 8 <= lengths[episode] for episode, start in drawn)
    assert all(type(number) is int for clip in drawn for number in clip)


def test_every_possible_clip_can_be_drawn():
    everything = [(0, 0), (0, 1), (2, 0), (3, 0), (3, 1), (3, 2)]
    assert clips([9, 7, 8, 10], num_clips=128) == everything
    assert clips([9, 7, 8, 10], num_clips=6, seed=5) == everything
    seen = {clip for seed in range(50) for clip in clips([9, 7, 8, 10], num_clips=1, seed=seed)}
    assert seen == set(everything)


def test_clips_need_an_episode_that_is_long_enough():
    with pytest.raises(ValueError, match=r"8 frames or more, got \[7, 3\]"):
        clips([7, 3])


def test_the_table_puts_the_paper_below_its_games():
    figures = {"MOTA": 0.714, "AP": 0.6, "count_error": 12.0, "HOTA": 0.5, "IDF1": 0.85}
    table = format_table(
        [
            ("SpaceInvaders", "ours", figures),
            ("Pong", "ours", {"MOTA": -0.5}),
            ("SpaceInvaders", "ConnComp", figures),
        ]
    )
    assert [line.split() for line in table.splitlines()] == [
        ["game", "tracker", "MOTA", "AP", "count_error", "HOTA", "IDF1", "tight_MOTA", "tight_AP"],
        ["SpaceInvaders", "ours", "0.71", "0.60", "12.00", "0.50", "0.85", "—", "—"],
        ["SpaceInvaders", "ConnComp", "0.71", "0.60", "12.00", "0.50", "0.85", "—", "—"],
        ["SpaceInvaders", "paper", "0.89", "0.73", "2.94", "—", "—", "—", "—"],
        ["Pong", "ours", "-0.50", "—", "—", "—", "—", "—", "—"],
    ]
