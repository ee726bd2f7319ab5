import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from silot_gym.training import cuda_graph
from silot_gym.training.cuda_graph import CUDAGraphRunner
from tests.training.gpu import Recorder


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(cuda_graph, "capture", recorder.capture)
    return recorder


def power(tensors: dict[str, Tensor], exponent: int) -> dict[str, Tensor]:
    return {"power": tensors["base"] ** exponent}


def test_a_record_works_on_what_it_is_given_each_time(recorder: Recorder) -> None:
    work = CUDAGraphRunner(power)
    for base in (2.0, 3.0, 4.0, 5.0):
        given = torch.tensor(base)
        assert work({"base": given}, exponent=2)["power"] == base**2
        assert given == base
    assert (recorder.records, recorder.launches) == (1, 3)


def test_each_variant_and_each_shape_has_a_record_of_its_own(recorder: Recorder) -> None:
    work = CUDAGraphRunner(power)
    for _ in range(3):
        assert work({"base": torch.tensor(2.0)}, exponent=2)["power"] == 4
        assert work({"base": torch.tensor(2.0)}, exponent=3)["power"] == 8
        assert work({"base": torch.tensor([1.0, 2])}, exponent=3)["power"].tolist() == [1, 8]
    assert (recorder.records, recorder.launches) == (3, 6)


def test_where_nothing_can_be_recorded_work_goes_on_with_one_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(work: Callable[[], Any], pool: Any) -> None:
        raise RuntimeError("operation not permitted\nand a long trace")

    monkeypatch.setattr(cuda_graph, "capture", refuse)
    work = CUDAGraphRunner(power)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for exponent in (2, 2, 2, 3, 3, 3):
            assert work({"base": torch.tensor(3.0)}, exponent=exponent)["power"] == 3**exponent
    assert [str(w.message) for w in caught] == [
        "training goes on without CUDA graphs: operation not permitted"
    ]
