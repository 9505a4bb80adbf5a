import numpy as np
import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from helpers import loaders, loops, losses


def optimizer(lr=0.3):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize(("steps", "warmup"), [(50, 5), (50, 0), (7, 7), (1, 0), (1, 1)])
def test_the_warm_up_is_transformers_at_every_step(steps, warmup):
    own, other = optimizer(), optimizer()
    ours = loops.linear_warmup(own, steps=steps, warmup=warmup)
    theirs = get_linear_schedule_with_warmup(other, warmup, steps)
    for _ in range(steps + 3):
        assert ours.get_last_lr() == pytest.approx(theirs.get_last_lr(), abs=1e-12)
        for part in (own, other, ours, theirs):
            part.step()


def test_a_share_is_a_number_of_steps():
    shares = [
        loops.linear_warmup(optimizer(1.0), steps=20, warmup=0.1),
        loops.linear_warmup(optimizer(1.0), steps=20, warmup=2),
        loops.linear_warmup(optimizer(1.0), steps=np.int64(20), warmup=np.float32(0.1)),
    ]
    assert loops.linear_warmup(optimizer(1.0), steps=20, warmup=1.0).lr_lambdas[0](10) == 0.5
    for _ in range(20):
        assert shares[0].get_last_lr() == shares[1].get_last_lr() == shares[2].get_last_lr()
        for schedule in shares:
            schedule.optimizer.step()
            schedule.step()


@pytest.mark.parametrize(
    ("steps", "warmup"),
    [(0, 0), (5, 6), (5, -1), (5, -0.1), (5, 2.5), (2.5, 1), (5, float("nan")), (5, np.float32(1.5)), (True, 1)],
)
def test_impossible_runs_are_refused(steps, warmup):
    with pytest.raises(ValueError, match=r"(steps|warmup)=.*a warm-up no longer than the run"):
        loops.linear_warmup(optimizer(), steps=steps, warmup=warmup)


def test_bfloat16_computes_the_model_and_keeps_the_weights_whole():
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 2)
    rows = torch.randn(64, 8)
    seen = []
    model.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    loader = loaders.array_loader({"input": rows}, (rows[:, :2] > 0).float(), batch_size=16)
    options = {"loss": losses.bce, "optimizer": torch.optim.Adam(model.parameters(), lr=0.1), "progress": False}
    done = loops.fit(model, loader, epochs=5, valid=loader, precision="bf16-mixed", **options)
    assert set(seen) == {torch.bfloat16}
    assert model.weight.dtype == torch.float32
    assert done.history["valid_auc"].iloc[-1] > 0.95
    near = loops.predict_proba(model, loader, precision="bf16-mixed"), loops.predict_proba(model, loader)
    assert 0 < abs(near[0] - near[1]).max() < 0.02
    with pytest.raises(ValueError, match="precision='half': expected '32-true' or 'bf16-mixed'"):
        loops.fit(model, loader, epochs=1, precision="half", **options)
