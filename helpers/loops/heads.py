"""Train the head of a tagger on features that its encoder gives once: a first answer in seconds, and a good start."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers import loaders
from helpers.loops.evaluation import Loss, Precision, _outputs
from helpers.loops.fitting import Fit, fit


class HasHead(Protocol):
    """What `fit_head` needs of a model."""

    head: nn.Linear

    def features(self, **inputs: Tensor) -> Tensor:
        """Features (B, H)."""


def fit_head(
    model: HasHead,
    loader: DataLoader,
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
    `fit` goes on from there.

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
        ValueError: the loader is empty, or its labels are not as many as the head's.

    Examples:
        >>> import pandas as pd
        >>> from helpers import loaders, loops, losses, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> tokens = loaders.tokenize(["You are kind.", "Go away!", "How nice!", "Get lost!"], tokenizer)
        >>> loader = loaders.token_loader(tokens, pd.DataFrame({"rude": [0, 1, 0, 1]}))
        >>> tagger = models.BertTagger(encoder, 1)
        >>> done = loops.fit_head(tagger, loader, loss=losses.bce)
        >>> loops.predict(tagger, loader).round().ravel().tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    with torch.inference_mode():
        features, labels = _outputs(model, loader, device, precision, call=model.features)
    features, labels = features.clone(), labels.float().clone()
    labels[labels < 0] = torch.nan
    if labels.shape[1:] != (model.head.out_features,):
        raise ValueError(
            f"labels {tuple(labels.shape)} are not (N, {model.head.out_features}), one a logit of the head"
        )
    with torch.no_grad():
        share = torch.nan_to_num(labels.nanmean(dim=0), nan=0.5).clamp(1e-3, 1 - 1e-3)
        model.head.bias.copy_(torch.logit(share))
    rows = loaders.array_loader({"input": features}, labels, batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=lr)
    return fit(model.head, rows, loss=loss, optimizer=optimizer, epochs=epochs, device=device, progress=False)
