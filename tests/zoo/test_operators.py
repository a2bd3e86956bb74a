"""Each operator's forward against the paper's formula, its gradients against the paper's surrogate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from zoo import reference

from bibench_deploy.errors import BibenchError, InputError, UnsupportedModelError
from bibench_deploy.zoo.base import Geometry, Operator
from bibench_deploy.zoo.fda import Fda
from bibench_deploy.zoo.layers import OPERATORS, BinaryConv1d, BinaryConv2d, BinaryLayer, BinaryLinear
from bibench_deploy.zoo.reactnet import ReActNet
from bibench_deploy.zoo.recu import ReCU
from bibench_deploy.zoo.registry import OperatorOptions, options
from bibench_deploy.zoo.xnorpp import XnorPlusPlus

pytestmark = pytest.mark.zoo

RANKS: dict[int, Callable[..., BinaryLayer]] = {
    2: lambda **kw: BinaryConv2d(6, 4, 3, stride=2, padding=1, bias=False, **kw),
    1: lambda **kw: BinaryConv1d(6, 4, 3, stride=2, padding=1, bias=False, **kw),
    0: lambda **kw: BinaryLinear(6, 4, bias=False, **kw),
}
SHAPES = {2: (3, 6, 7, 9), 1: (3, 6, 11), 0: (5, 6)}


def _layer(rank: int, algorithm: str, chosen: OperatorOptions) -> tuple[BinaryLayer, Any]:
    """A layer with random latent weights and learned parameters, and an input with exact zeros in it."""
    torch.manual_seed(rank)
    x = torch.randn(SHAPES[rank])
    x[torch.rand(x.shape) < 0.2] = 0
    layer = RANKS[rank](algorithm=algorithm, options=chosen).eval()
    with torch.no_grad():
        layer(x)
        for name, parameter in layer.named_parameters():
            if "noise" not in name:
                parameter.copy_(torch.randn(parameter.shape))
    return layer, x


def _learned(layer: BinaryLayer) -> dict[str, Any]:
    operator = layer.operator
    learned: dict[str, Any] = {}
    if isinstance(operator, ReActNet):
        learned["shift"] = operator.shift.detach().double().numpy()
    if isinstance(operator, ReCU):
        learned["alpha"] = operator.alpha.detach().double().numpy()
    if isinstance(operator, XnorPlusPlus):
        gamma = operator.channel.detach().double().numpy()
        for factor in operator.spatial:
            gamma = gamma * factor.detach().double().numpy()
        learned["gamma"] = gamma
    return learned


FORWARD = [
    (algorithm, rank, at_zero, pad_value, "location")
    for algorithm, rank, at_zero, pad_value in itertools.product(OPERATORS, RANKS, (1, 0), (0, 1, -1))
    if rank or pad_value == 0
] + [("xnor", rank, 1, pad_value, "sample") for rank, pad_value in itertools.product(RANKS, (0, 1))]


@pytest.mark.parametrize(("algorithm", "rank", "at_zero", "pad_value", "xnor_k"), FORWARD)
def test_forward_is_the_papers_formula(
    algorithm: str, rank: int, at_zero: int, pad_value: int, xnor_k: str
) -> None:
    chosen = options(sign_zero=at_zero, pad_value=pad_value, xnor_k=xnor_k)
    layer, x = _layer(rank, algorithm, chosen)
    weight = layer.get_parameter("weight").detach().double().numpy()
    expected = reference.binary_layer(
        algorithm,
        x.double().numpy(),
        weight,
        _learned(layer),
        stride=2,
        padding=1 if rank else 0,
        at_zero=at_zero,
        # Padding is applied to the sign, before a factor of the input: for "sample" the border is K·value.
        pad_value=pad_value,
        xnor_k=xnor_k,
    )
    with torch.no_grad():
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("algorithm", OPERATORS)
def test_training_and_evaluation_compute_the_same_function(algorithm: str) -> None:
    layer, x = _layer(2, algorithm, OperatorOptions())
    with torch.no_grad():
        evaluated = layer(x)
    torch.testing.assert_close(layer.train()(x).detach(), evaluated)


@pytest.mark.parametrize("rank", RANKS)
def test_bias_is_added_after_rescaling(rank: int) -> None:
    make = {
        2: lambda bias: BinaryConv2d(6, 4, 3, bias=bias, algorithm="recu"),
        1: lambda bias: BinaryConv1d(6, 4, 3, bias=bias, algorithm="recu"),
        0: lambda bias: BinaryLinear(6, 4, bias=bias, algorithm="recu"),
    }[rank]
    plain, biased = make(False), make(True)
    state = plain.state_dict()
    bias = torch.tensor([1.0, -2.0, 3.0, -4.0])
    biased.load_state_dict({**state, "bias": bias})
    x = torch.randn(SHAPES[rank])
    with torch.no_grad():
        shift = biased(x) - plain(x)
    torch.testing.assert_close(shift, bias.view(1, 4, *(1,) * rank).expand_as(shift))


def test_groups_convolve_apart() -> None:
    layer = BinaryConv2d(8, 4, 3, padding=1, groups=2, bias=False, algorithm="bnn")
    x = torch.randn(2, 8, 5, 5)
    w = layer.weight.detach().double().numpy()
    a = reference.pad(reference.sign(x.double().numpy(), 1), 1, 0)
    expected = reference.convolve(a, reference.sign(w, 1), 1, groups=2)
    with torch.no_grad():
        np.testing.assert_allclose(layer(x).numpy(), expected)


# Slope of the activation's sign: x → d activation / d x.
CLIPPED = {-1.5: 0, -1.0: 1, -0.5: 1, 0.0: 1, 0.5: 1, 1.0: 1, 1.5: 0}
POLYNOMIAL = {-1.5: 0, -1.0: 0, -0.75: 0.5, -0.5: 1, -0.25: 1.5, 0.0: 2, 0.25: 1.5, 0.5: 1, 1.0: 0, 1.5: 0}


@pytest.mark.parametrize(
    ("algorithm", "slope"),
    [
        ("bnn", CLIPPED),
        ("xnor", CLIPPED),
        ("dorefa", CLIPPED),
        ("xnorpp", CLIPPED),
        ("bireal", POLYNOMIAL),
        ("reactnet", POLYNOMIAL),
        ("recu", POLYNOMIAL),
    ],
)
def test_slope_of_the_activations_sign(algorithm: str, slope: dict[float, float]) -> None:
    operator = _operator(algorithm, features=1)
    x = torch.tensor(list(slope))[:, None].requires_grad_()
    operator.activation(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor(list(slope.values()), dtype=torch.float32)[:, None])


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_fdas_slope_is_the_derivative_of_the_fourier_series(fraction: float) -> None:
    operator = _operator("fda")
    operator.set_progress(fraction)
    assert isinstance(operator, Fda)
    operator.deploy()
    points = np.linspace(-0.95, 0.95, 7)
    x = torch.tensor(points[None], requires_grad=True)
    operator.activation(x).sum().backward()

    def series(u: Any) -> Any:
        terms = np.arange(operator.terms + 1)[:, None]
        return 4 / np.pi * (np.sin((2 * terms + 1) * 0.1 * u) / (2 * terms + 1)).sum(axis=0)

    step = 1e-6
    numeric = (series(points + step) - series(points - step)) / (2 * step)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad[0].numpy(), numeric, rtol=1e-6)


def test_fdas_slope_is_clipped() -> None:
    operator = _operator("fda")
    x = torch.tensor([[-1.01, 1.01]], requires_grad=True)
    operator.activation(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros(1, 2))


# Slope of the weights' sign, before the channel factor α, at these weights. Their signs don't cancel: a
# gradient through α would show.
WEIGHTS = [-1.5, 0.5, 0.25, 1.25]


@pytest.mark.parametrize(
    ("algorithm", "slope", "scaled"),
    [
        ("bnn", [0, 1, 1, 0], False),
        ("xnorpp", [0, 1, 1, 0], False),
        ("xnor", [0, 1, 1, 0], True),
        ("bireal", [0, 1, 1, 0], True),
        ("reactnet", [0, 1, 1, 0], True),
        ("dorefa", [1, 1, 1, 1], True),
    ],
)
def test_gradient_of_the_weights(algorithm: str, slope: list[float], scaled: bool) -> None:
    operator = _operator(algorithm, out=1, features=4)
    w = torch.tensor([WEIGHTS], requires_grad=True)
    operator.weight(w).sum().backward()
    alpha = np.abs(WEIGHTS).mean() if scaled else 1.0
    torch.testing.assert_close(w.grad, alpha * torch.tensor([slope], dtype=torch.float32))


@pytest.mark.parametrize("xnor_k", ["location", "sample"])
def test_xnors_k_carries_no_gradient(xnor_k: str) -> None:
    layer = BinaryConv2d(1, 1, 1, bias=False, algorithm="xnor", options=options(xnor_k=xnor_k))
    with torch.no_grad():
        layer.weight.fill_(0.5)
    x = torch.tensor([[[[0.25, -0.75], [0.5, 2.0]]]], requires_grad=True)
    layer(x).sum().backward()
    k = x.detach().abs() if xnor_k == "location" else x.detach().abs().mean()
    torch.testing.assert_close(x.grad, 0.5 * k * torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]]))


def test_reactnets_shift_learns_against_the_input() -> None:
    operator = _operator("reactnet")
    assert isinstance(operator, ReActNet)
    with torch.no_grad():
        operator.shift.fill_(0.5)
    x = torch.full((3, 4), 0.75, requires_grad=True)
    operator.activation(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((3, 4), 1.5))  # 2 − 2·0.25
    torch.testing.assert_close(operator.shift.grad, torch.full((4,), -4.5))


@pytest.mark.parametrize(("fraction", "tau"), [(0.0, 0.85), (1.0, 0.99)])
def test_recu_clamps_at_the_laplace_quantiles(fraction: float, tau: float) -> None:
    """Outside the clamp nothing flows back but through mean and deviation, on which every weight depends."""
    operator = _operator("recu", out=2, features=4000)
    operator.set_progress(fraction)
    assert isinstance(operator, ReCU)
    assert operator.tau == pytest.approx(tau)
    torch.manual_seed(0)
    values = torch.distributions.Laplace(0.0, 1.0).sample((2, 4000)).double()
    values[1] = 10 * values[1] + 3  # each channel is standardized by itself
    centred = values - values.mean(dim=1, keepdim=True)
    variance = centred.var(dim=1, keepdim=True) + 1e-5
    gain = 2 * 2**0.5 / variance.sqrt()
    standard = gain * centred
    inside = standard.abs() <= -standard.abs().mean() * np.log(2 - 2 * tau)
    # Q_τ and Q_{1−τ} enclose a share of 2τ − 1 of the weights.
    assert inside.double().mean().item() == pytest.approx(2 * tau - 1, abs=0.02)

    w = values.clone().requires_grad_()
    upstream = torch.randn(2, 4000, dtype=torch.float64)
    binary = operator.weight(w)
    binary.backward(upstream)
    torch.testing.assert_close(binary.detach(), torch.where(centred >= 0, 1.0, -1.0).double())
    # Standardizing projects mean and scale out of the gradient: d standard_i / d w_j in closed form.
    flowing = inside * upstream
    along = (flowing * centred).sum(dim=1, keepdim=True) / (3999 * variance)
    projected = flowing - flowing.mean(dim=1, keepdim=True) - centred * along
    torch.testing.assert_close(w.grad, gain * projected)


@pytest.mark.parametrize(("fraction", "weight", "terms"), [(0.0, 0.1, 9), (0.5, 0.05, 13), (1.0, 0.0, 18)])
def test_fdas_branch_fades(fraction: float, weight: float, terms: int) -> None:
    operator = _operator("fda", features=128)
    operator.set_progress(fraction)
    assert isinstance(operator, Fda)
    assert (operator.noise_weight, operator.terms) == (pytest.approx(weight), terms)
    assert operator.activation_noise is not None
    x = torch.randn(2, 128)
    fc1 = operator.activation_noise.fc1.weight.detach()
    fc2 = operator.activation_noise.fc2.weight.detach()
    noise = torch.relu(x @ fc1.T) @ fc2.T + 0.1 * torch.sin(x)
    with torch.no_grad():
        torch.testing.assert_close(operator.activation(x), torch.where(x >= 0, 1.0, -1.0) + weight * noise)


def test_fda_deploys_without_its_branch() -> None:
    layer = BinaryConv2d(8, 4, 3, algorithm="fda")
    assert any("noise" in name for name in layer.state_dict())
    layer.operator.deploy()
    assert not any("noise" in name for name in layer.state_dict())


def test_xnorpp_takes_its_size_as_given_or_from_the_first_input() -> None:
    given = BinaryConv2d(8, 4, 3, algorithm="xnorpp", output_size=(5, 6), bias=False)
    lazy = BinaryConv2d(8, 4, 3, algorithm="xnorpp", bias=False)
    lazy(torch.randn(1, 8, 7, 8))
    shapes = [[tuple(p.shape) for p in layer.operator.parameters()] for layer in (given, lazy)]
    assert shapes == [[(1, 4, 1, 1), (1, 1, 5, 1), (1, 1, 1, 6)]] * 2


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: BinaryLinear(4, 4, algorithm="xnornet"), InputError, "xnor"),
        (lambda: BinaryLinear(4, 4, algorithm="fp32"), UnsupportedModelError, "no binary layer"),
        (lambda: BinaryConv2d(4, 4, 3, groups=2, algorithm="xnor"), UnsupportedModelError, "groups"),
        (lambda: BinaryConv2d(4, 4, 3, dilation=2, algorithm="xnor"), UnsupportedModelError, "dilation"),
        (lambda: options(sign_zero=-1), InputError, "choose 1 or 0"),
        (lambda: options(pad_value=2), InputError, "0, 1 or -1"),
        (lambda: options(xnor_k="pixel"), InputError, "location or sample"),
    ],
)
def test_what_is_not_defined_is_refused(
    make: Callable[[], object], error: type[BibenchError], text: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


def _operator(algorithm: str, *, out: int = 1, features: int = 4) -> Operator:
    """An operator of a linear layer; inputs may have other sizes where nothing is learned per feature."""
    torch.manual_seed(0)
    chosen = OperatorOptions()
    return OPERATORS[algorithm](Geometry((out, features), features), chosen).train(algorithm != "recu")
