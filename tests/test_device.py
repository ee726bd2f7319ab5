import pytest
import torch

from silot_gym import Checkpoint
from silot_gym.device import check_device


def test_the_cpu_is_always_there() -> None:
    check_device("cpu")
    check_device(torch.device("cpu"))


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "meta", "mps"])
def test_a_name_that_is_none_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=f"expected the device 'cpu' or 'cuda', got '{device}'"):
        check_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("device", ["cuda", torch.device("cuda:1")])
def test_without_cuda_a_checkpoint_is_not_loaded_on_it(device: str | torch.device) -> None:
    with pytest.raises(ValueError, match=f"expected a CUDA device for '{device}', found none"):
        Checkpoint.load("Pong", device)
