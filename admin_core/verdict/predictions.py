"""What a model's output says of each place beyond what it says of all of them.

A model first learns how often each answer comes, and says the same everywhere. What trains goes on
to tell places apart, and is right to; what stalls never does. The loss hides the second behind the
first for many steps. Two numbers show it alone: the gain over the model's own average prediction,
and, whatever the size of the differences between places, how well they fit the answers.

Notation:
    p_t       predicted distribution at place t, of the places that have an answer y_t
    d_t       log p_t - log mean_s p_s, what place t says beyond the average
    H         entropy in nats
    E, Var    over the answers of all places: E f = mean_s f(y_s)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from admin_core.data.batch import IGNORED

MAX_PLACES = 2_048
"""Places of the batch that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Of one pass, over its answered places."""

    information: float
    """H(mean_t p_t) - mean_t H(p_t), in nats: how much the output differs between places; 0 where
    it is the same everywhere."""

    deviation: float
    """Standard deviation of all logits."""

    context_gain: float
    """mean_t d_t(y_t), in nats: how much better the answers are known for telling places apart;
    below 0 where places are told apart wrongly."""

    alignment: float
    """mean_t (d_t(y_t) - E d_t) / sqrt(mean_t Var d_t): how much better what a place says fits its
    own answer than the others', in standard deviations; about 0 where it knows nothing, give or
    take one over the root of the number of places."""


def predictions(logits: Tensor, targets: Tensor) -> Predictions | None:
    """What the logits say; None where no place has an answer.

    Args:
        logits: places in one or more axes, classes.
        targets: class per place, or `IGNORED`.
    """
    answers = targets.flatten()
    answered = (answers != IGNORED).nonzero().squeeze(1)[:MAX_PLACES]
    if not len(answered):
        return None
    chosen = logits.detach().flatten(0, -2)[answered].float()
    answers = answers[answered]
    log_p = F.log_softmax(chosen, dim=-1)
    p = log_p.exp()
    mean = p.mean(0)
    log_mean = mean.clamp_min(1e-30).log()
    # sum p log p is H with its sign changed
    information = (p * log_p).sum(-1).mean() - (mean * log_mean).sum()
    d = log_p - log_mean
    own = d.gather(1, answers[:, None]).squeeze(1)
    frequencies = torch.bincount(answers, minlength=d.shape[1]) / len(answers)
    expected = d @ frequencies
    variance = d.square() @ frequencies - expected.square()
    return Predictions(
        information=float(information),
        deviation=float(chosen.std()),
        context_gain=float(own.mean()),
        alignment=float((own - expected).mean() / variance.mean().clamp_min(1e-12).sqrt()),
    )
