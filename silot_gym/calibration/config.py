"""The thresholds of calibration, the same for all games."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CalibrationConfig:
    """How a game is measured. Shares are of 1; lengths are in pixels of the frame."""

    largest_object: int = 48
    """Length beyond which what is straight and in one colour is scenery, in any game."""
    background_frames: int = 500
    """Frames to find the background from, about."""
    scene_share: float = 0.01
    """Share of the frames that a scene fills, at least."""
    usual_share: float = 0.5
    """Share of a scene's frames from which on a pixel's colour is usual."""
    static_share: float = 0.98
    """Share of a scene's frames from which on a pixel always has its colour."""
    scenery_share: float = 0.015
    """Share of the pixels from which on what always has its colour is scenery, such as the walls of
    a maze. Fewer are single things."""
    scrolling_share: float = 0.003
    """Share of all pixels that have a colour that scrolls, at least."""
    scrolling_runs: float = 0.8
    """Share of the pixels of a colour that scrolls that lie in long runs, at least."""
    scrolling_frames: float = 0.05
    """Share of the frames that show what scrolls, at least: others flash."""
    foreground_margin: float = 1.5
    """How many times more foreground a frame may have in play than any frame of the rollouts."""
    least_max_foreground: float = 0.1
    """Share of foreground that is not too much in any game."""
    tolerance_share: float = 0.5
    """How far from a background's colour others count as it, as a share of the distance of the
    nearest colour that is another one."""
    max_tolerance: int = 8
    """How far that may be at most, in steps of a channel."""

    brightness_floor: float = 0.3
    """How bright the darkest object is seen, so that a black one on a green ground is seen, and a
    dark one counts about as much as a bright one."""

    hud_edge: float = 0.2
    """Share of the rows at the top and at the bottom that may hold score, lives and clocks."""
    hud_gap: int = 6
    """Pixels between digits up to which they are one number."""
    hud_shown: float = 0.7
    """Share of the frames that show a part of the HUD, at least."""
    hud_changes: float = 0.2
    """Share of the frames in which it changes, at most."""
    hud_ever: float = 0.02
    """Share of the frames from which on a pixel counts as foreground at all."""
    hud_frames: int = 400
    """Frames to find the HUD from, about."""

    size_frames: int = 100
    """Frames to find the size of objects from, about."""
    size_reach: int = 72
    """Displacement up to which frames are compared with themselves."""
    size_floor: float = 0.2
    """How far above its least value the correlation counts as fallen, as a share of the fall."""
    model_size: int = 24
    """Longest side in the model's pixels that a typical object may have; larger ones are shrunk."""
    least_size: float = 6.0
    """Shortest side of a typical object in the model's pixels: boxes have to find their objects."""
    initial_factor: float = 1.5
    """Size of boxes before training, in typical sizes."""
    expected_factor: float = 0.5
    """Mean of the prior of the size, in typical sizes: boxes would be too large with more."""
    anchor_factor: float = 2.0
    """Largest size of objects, in typical sizes."""
    least_anchor: float = 24.0
    """Largest size of objects, at least."""
    anchor_of_crop: float = 5 / 6
    """Largest size of objects as a share of a training crop, at most: one object must not explain
    all that a crop shows."""
    initial_of_anchor: float = 0.9
    """Size of boxes before training as a share of the largest, at most."""

    flicker_screens: int = 1000
    """Screens of the play that flicker is found from."""
    flicker_action: int = 4
    """Screens for which an action is kept."""
    flicker_stride: int = 3
    """Of so many screens one is looked at: an odd number, or it might always be one that shows all
    objects."""
    flicker_return: int = 4
    """Screens within which what is hidden comes back."""
    flicker_distance: int = 8
    """Pixels within which an object that has only moved is found again."""
    flicker_pixels: int = 4
    """Pixels of the smallest object."""
    flicker_share: float = 0.05
    """Share of the screens with flicker, at least. Ten games that were looked at have 0 or more
    than .3."""

    slots_frames: int = 64
    """Frames to count objects in, about."""
    slots_margin: float = 1.25
    """Slots for each of the most objects in a frame; the paper's rule."""
    max_slots: int = 128
    """Slots at most."""

    max_types: int = 12
    """Types of objects at most."""
    type_price: float = 3.0
    """How much nearer one more type must bring the tracks to their types' centres, on average, in
    squared units of change, to be worth it (the price of a cluster in DP-means; Kulis and Jordan,
    2012)."""
    type_shrinkage: float = 0.05
    """Share of all variance that is added to that within tracks: directions in which tracks hardly
    change would outweigh all others."""
    type_usual: float = 0.95
    """Share of the frames with objects of a type that show no more of them than
    `ObjectTypes.max_count` says. In a few frames one object is taken for two, or for another
    type."""
    type_starts: int = 10
    """Random starts of k-means, of which the best is taken."""
    same_place: float = 4.0
    """Pixels between the centres of what is taken for one object when types are carried over."""


DEFAULTS = CalibrationConfig()
