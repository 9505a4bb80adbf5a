"""The recipe of fine-tuning: the head first, on features computed once, then the layers, with a warm-up."""

import inspect
import math
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from helpers import loaders, models
from helpers.arguments import check_count, check_number
from helpers.loops.checkpoints import Fit, holds_run
from helpers.loops.prediction import Loss, Precision, outputs_once
from helpers.loops.schedulers import linear_warmup
from helpers.loops.training import fit


def fit_head(
    model: nn.Module,
    loader: DataLoader[loaders.Batch],
    *,
    loss: Loss,
    epochs: int = 40,
    lr: float = 1e-2,
    batch_size: int = 64,
    device: str = "cpu",
    precision: Precision = "32-true",
) -> Fit:
    """Leave the encoder as it is, compute its features once, and train the head alone on them.

    The bias begins at the log-odds of each label's share, and the head is good before the first gradient reaches the
    encoder, whose features it would otherwise distort (Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features).
    `fit` goes on from there, or `fine_tune`, which begins with it.

    Args:
        model: has `features(**inputs)` and a linear layer `head`, such as `models.BertTagger`; on the device.
        loader: batches of `(inputs, labels (B, L))` of the training rows, in any order.
        loss: of logits and labels, such as `losses.bce`.
        epochs: passes over the features.
        lr: learning rate of AdamW.
        batch_size: rows a step.
        device: where the model is.
        precision: of the features.

    Returns:
        The history of the head's training.

    Raises:
        ValueError: the loader is empty, its labels are not as many as the head's or all unknown, or a number is out of
            range.

    Examples:
        >>> import pandas as pd
        >>> from helpers import loaders, loops, losses, models
        >>> from helpers.loops.fine_tuning import fit_head
        >>> encoder, tokenizer = models.load_encoder()
        >>> tokens = loaders.tokenize(["You are kind.", "Go away!", "How nice!", "Get lost!"], tokenizer)
        >>> loader = loaders.token_loader(tokens, pd.DataFrame({"rude": [0, 1, 0, 1]}))
        >>> tagger = models.BertTagger(encoder, 1)
        >>> done = fit_head(tagger, loader, loss=losses.bce)
        >>> loops.predict_proba(tagger, loader).round().ravel().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
    lr = check_number("lr", lr, at_least=0)
    parts: Any = model
    head = parts.head
    with torch.inference_mode():
        result, known = outputs_once(model, loader, device, precision, call=parts.features)
    features, labels = torch.as_tensor(result).clone(), torch.where(known < 0, torch.nan, known.float())
    if labels.shape[1:] != (head.out_features,):
        shape = tuple(labels.shape)
        raise ValueError(f"labels {shape} are not (N, {head.out_features}), with one column per logit of the head")
    with torch.no_grad():
        share = torch.nan_to_num(labels.nanmean(dim=0), nan=0.5).clamp(1e-3, 1 - 1e-3)
        head.bias.copy_(torch.logit(share))
    rows = loaders.array_loader({"input": features}, labels, batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr)
    return fit(head, rows, loss=loss, optimizer=optimizer, epochs=epochs, device=device, progress=False)


def fine_tune(
    tagger: models.BertTagger,
    loader: DataLoader[loaders.Batch],
    *,
    loss: Loss,
    lr: float,
    epochs: int,
    layers: int | None = None,
    head_epochs: int = 40,
    weight_decay: float = 0.01,
    warmup: float = 0.1,
    clip_norm: float = 1.0,
    device: str = "cpu",
    precision: Precision = "32-true",
    **options: Any,  # noqa: ANN401
) -> Fit:
    """What notebook 04 does step by step: `fit_head`, then AdamW with warm-up and clipping over head and encoder.

    Args:
        tagger: on the device.
        loader: batches of `(inputs, labels (B, L))` of the training rows, shuffled.
        loss: of logits and labels.
        lr: the peak of the learning rate; 2e-5 to 5e-5 for large encoders, ten times that for small ones on few rows.
        epochs: passes over the rows.
        layers: how many of the encoder's last layers are trained; None trains all.
        head_epochs: passes over the features before that; 0 begins with the head as it is.
        weight_decay: of matrices; biases and layer norms have none.
        warmup: share of the steps until the peak.
        clip_norm: largest norm of the gradient.
        device: where the tagger is.
        precision: as `fit`.
        options: further ones of `fit`, such as `valid`, `patience`, `folder` and `progress`.

    Returns:
        As `fit`, of the second part; of the first where Ctrl-C ended that.

    Raises:
        ValueError: as `fit_head`, `fit` and `BertTagger.unfreeze_last`.

    Examples:
        >>> import pandas as pd
        >>> from helpers import loaders, loops, losses, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> tokens = loaders.tokenize(["You are kind.", "Go away!", "How nice!", "Get lost!"], tokenizer)
        >>> loader = loaders.token_loader(tokens, pd.DataFrame({"rude": [0, 1, 0, 1]}), batch_size=2, shuffle=True)
        >>> tagger = models.BertTagger(encoder, 1)
        >>> done = loops.fine_tune(tagger, loader, loss=losses.bce, lr=1e-4, epochs=2, layers=1, progress=False)
        >>> len(done.history), done.ended
        (2, 'epochs')
    """
    where: dict[str, Any] = {"device": device, "precision": precision}
    epochs, head_epochs = check_count("epochs", epochs), check_count("head_epochs", head_epochs, at_least=0)
    accumulate = check_count("accumulate", options.get("accumulate", 1))
    clip_norm = check_number("clip_norm", clip_norm, above=0)
    for name, rate in {"lr": lr, "weight_decay": weight_decay}.items():
        check_number(name, rate, at_least=0)
    if unknown := set(options) - set(inspect.signature(fit).parameters):
        raise TypeError(f"fine_tune and fit have no argument {', '.join(sorted(unknown))}")
    if layers is None:
        tagger.unfreeze()
    else:
        tagger.unfreeze_last(layers)
    optimizer = torch.optim.AdamW(models.parameter_groups(tagger, lr=lr, weight_decay=weight_decay), fused=True)
    steps = epochs * math.ceil(len(loader) / accumulate)
    schedule = linear_warmup(optimizer, steps=steps, warmup=warmup)
    if head_epochs and not holds_run(options.get("folder")):  # else `fit` resumes
        head = fit_head(tagger, loader, loss=loss, epochs=head_epochs, **where)
        if head.ended == "interrupted":
            return head
    options = where | {"scheduler": schedule} | options
    options["settings"] = {"head_epochs": head_epochs} | dict(options.get("settings") or {})
    return fit(tagger, loader, loss=loss, optimizer=optimizer, epochs=epochs, clip_norm=clip_norm, **options)
