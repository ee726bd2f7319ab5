"""How good is a tracker? Truth from colours, and the metrics that compare tracks with it.

`annotate` makes the paper's truth from frames and `score` compares tracks with it under the paper's
protocol. The simple tracker to beat is `connected_components.connected_components`.
"""

from silot_gym.evaluation.connected_components import annotate
from silot_gym.evaluation.detection import average_precision, count_error
from silot_gym.evaluation.protocol import PAPER, PaperGame, clips, format_table, score
from silot_gym.evaluation.tracking import TrackingMetrics, tracking_metrics
from silot_gym.evaluation.tracks import Tracks, iou

__all__ = [
    "PAPER",
    "PaperGame",
    "TrackingMetrics",
    "Tracks",
    "annotate",
    "average_precision",
    "clips",
    "count_error",
    "format_table",
    "iou",
    "score",
    "tracking_metrics",
]
