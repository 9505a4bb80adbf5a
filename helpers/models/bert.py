"""An encoder with one linear head for all labels, and what fine-tuning needs to know of it."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from helpers.arguments import check_choice, check_count, check_number
from helpers.models.backbones import mean_pool
from helpers.models.encoders import ATTENTION_DROPOUT, position_limit

Pooling = Literal["mean", "cls", "pooler"]


class BertTagger(nn.Module):
    """A BERT-family encoder, its token vectors pooled into one, dropout, a linear layer: logits (B, L).

    With `pooling="pooler"` it is transformers' `BertForSequenceClassification`. Mean pooling suits encoders that were
    trained with it, such as the packaged one, whose pooler is as good as untrained.

    Args:
        encoder: gives `last_hidden_state` (B, T, H), has `config.hidden_size`; as `load_encoder` gives it.
        n_labels: number of labels, L.
        pooling: `mean` over tokens that are no padding, `cls` the first token's vector, or `pooler`, the encoder's own
            layer on that (BERT has one).
        dropout: probability that a feature is dropped before the linear layer.

    Raises:
        ValueError: another pooling, an encoder without a pooler where it is asked for, n_labels below 1, or dropout not
            from 0 to below 1.

    Examples:
        >>> import torch
        >>> from helpers import models
        >>> encoder, tokenizer = models.load_encoder()
        >>> tagger = models.BertTagger(encoder, n_labels=6).eval()
        >>> tagger(**tokenizer(["You are kind.", "Go away!"], padding=True, return_tensors="pt")).shape
        torch.Size([2, 6])
        >>> tagger.unfreeze_last(2)  # the head and two layers learn
        >>> sum(any(weight.requires_grad for weight in layer.parameters()) for layer in tagger.layers())
        2
    """

    encoder: Any  # a module, and more than torch knows of one

    def __init__(self, encoder: nn.Module, n_labels: int, *, pooling: Pooling = "mean", dropout: float = 0.1) -> None:
        super().__init__()
        if not isinstance(encoder, nn.Module) or not hasattr(encoder, "config"):
            hint = ", whose .model is one" if isinstance(getattr(encoder, "model", None), nn.Module) else ""
            raise ValueError(f"encoder: expected a model of transformers, got {type(encoder).__name__}{hint}")
        self.encoder, self.pooling = encoder, check_choice("pooling", pooling, ("mean", "cls", "pooler"))
        if pooling == "pooler" and getattr(encoder, "pooler", None) is None:
            raise ValueError(f"{type(encoder).__name__} has no pooler: pass pooling='mean' or 'cls'")
        self._train_pooler()
        self._positions = position_limit(encoder)
        self.dropout = nn.Dropout(check_number("dropout", dropout, at_least=0, below=1))
        self.head = nn.Linear(self.encoder.config.hidden_size, check_count("n_labels", n_labels))
        nn.init.normal_(self.head.weight, std=getattr(self.encoder.config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)
        # By name: sharded (FSDP), all weights look like vectors.
        self.matrices = frozenset(name for name, weight in self.named_parameters() if weight.ndim > 1)
        self.train()  # as each new module; a pretrained encoder comes in evaluation mode

    def features(self, input_ids: Tensor | None, attention_mask: Tensor, **inputs: Any) -> Tensor:  # noqa: ANN401
        """Pooled vectors (B, H) of token ids (B, T), whose mask (B, T) is 0 on padding; or of `inputs_embeds`.

        Raises:
            ValueError: ids of another shape, or texts longer than the encoder has positions for.
        """
        shape = tuple((attention_mask if input_ids is None else input_ids).shape)
        if len(shape) != 2:
            raise ValueError(f"input_ids {shape}: expected (B, T), one row per text")
        if self._positions is not None and shape[1] > self._positions:
            raise ValueError(
                f"input_ids has {shape[1]} tokens per text and {type(self.encoder).__name__} reads "
                f"{self._positions} at most: pass max_length={self._positions} to loaders.tokenize, and windows=True "
                "to read all of a longer text"
            )
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)
        if self.pooling == "pooler":
            return output.pooler_output
        if self.pooling == "cls":
            return output.last_hidden_state[:, 0]
        return mean_pool(output.last_hidden_state, attention_mask)

    def forward(self, input_ids: Tensor | None, attention_mask: Tensor, **inputs: Any) -> Tensor:  # noqa: ANN401
        """Logits (B, L).

        Raises:
            ValueError: as `features`.
        """
        pooled = self.features(input_ids, attention_mask, **inputs)
        # In bfloat16 logits near -7, those of rare labels, would come in steps of 1/32: many ties.
        with torch.autocast(pooled.device.type, enabled=False):
            return self.head(self.dropout(pooled.to(self.head.weight.dtype)))

    def layers(self) -> list[nn.Module]:
        """The encoder's layers, from the embeddings' side to the head's.

        Raises:
            ValueError: no list of layers is found in the encoder.
        """
        number = getattr(self.encoder.config, "num_hidden_layers", 0)
        for module in self.encoder.modules():
            if isinstance(module, nn.ModuleList) and len(module) == number:
                return list(module)
        raise ValueError(f"{type(self.encoder).__name__} has no list of {number} layers")

    def freeze(self) -> None:
        """Train the head alone: the encoder keeps its weights, and stays in evaluation mode."""
        self.encoder.requires_grad_(False)
        self.train(self.training)

    def unfreeze_last(self, n: int) -> None:
        """Train the head and the encoder's last `n` layers (and its pooler, where it is in use); all else is frozen.

        Raises:
            ValueError: n below 0 or more than the encoder has.
        """
        layers, n = self.layers(), check_count("n", n, at_least=0)
        if n > len(layers):
            raise ValueError(f"n={n}: the encoder has {len(layers)} layers")
        self.encoder.requires_grad_(False)
        for layer in layers[len(layers) - n :]:
            layer.requires_grad_(True)
        if n:
            self._train_pooler()
        self.train(self.training)

    def unfreeze(self) -> None:
        """Train everything (but a pooler that is not in use)."""
        self.encoder.requires_grad_(True)
        self._train_pooler()
        self.train(self.training)

    def _train_pooler(self) -> None:
        """Train a pooler that is in use; one that is not takes no part, and would get no gradient."""
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler.requires_grad_(self.pooling == "pooler")

    def extra_repr(self) -> str:
        """Pooling, and the dropout of attention, which `load_encoder` switches off, for print(tagger)."""
        shares = (getattr(self.encoder.config, name, None) for name in ATTENTION_DROPOUT)
        attention = next((share for share in shares if share is not None), None)
        return f"pooling={self.pooling!r}, attention_dropout={attention}"

    def train(self, mode: bool = True) -> "BertTagger":
        """As in torch, but frozen parts of the encoder stay in evaluation mode: no dropout, the same features."""
        super().train(mode)
        for module in self.encoder.modules():
            weights = list(module.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                module.eval()
        return self


def tagger_of(classifier: nn.Module) -> BertTagger:
    """A sequence classifier of transformers as a tagger, with copies of its weights, in evaluation mode.

    Two logits under a softmax are one logit in disguise, their difference: a classifier with two classes becomes a
    tagger with one label, "the second class", and the same probability.

    Args:
        classifier: a `BertForSequenceClassification`; with more than two logits each becomes a label of its own, as
            in `problem_type="multi_label_classification"`.

    Raises:
        ValueError: another architecture, a regression, or several classes of which one is right.

    Examples:
        >>> import torch
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> from helpers import models
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> classifier = BertForSequenceClassification(settings).eval()  # two classes: negative and positive
        >>> tagger = models.tagger_of(classifier)  # one label: positive
        >>> ids = torch.tensor([[101, 2017, 102]])
        >>> before = classifier(input_ids=ids).logits.softmax(dim=1)[:, 1]
        >>> after = tagger(input_ids=ids, attention_mask=torch.ones_like(ids)).sigmoid()[:, 0]
        >>> bool(torch.isclose(before, after, atol=1e-6).all())
        True
    """
    from transformers import BertForSequenceClassification

    if not isinstance(classifier, BertForSequenceClassification) or classifier.config.problem_type == "regression":
        raise ValueError(f"{type(classifier).__name__} is no BertForSequenceClassification that says yes or no")
    kind = classifier.config.problem_type
    weight, bias = (part.detach() for part in (classifier.classifier.weight, classifier.classifier.bias))
    if kind != "multi_label_classification" and len(bias) > 2:
        raise ValueError(f"{len(bias)} classes with problem_type={kind!r} are no labels of their own")
    if kind != "multi_label_classification" and len(bias) == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    dropout = classifier.dropout.p
    tagger = BertTagger(copy.deepcopy(classifier.bert), len(bias), pooling="pooler", dropout=dropout)
    tagger.head.to(weight).load_state_dict({"weight": weight, "bias": bias})
    return tagger.eval()


def parameter_groups(
    tagger: BertTagger, *, lr: float, weight_decay: float = 0.01, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for AdamW: no decay on biases and norms, and a learning rate that falls from the head to the embeddings.

    Source: no decay on biases and LayerNorm, Devlin et al. 2019; layer-wise rates, Howard and Ruder 2018 (ULMFiT).

    Args:
        tagger: only what is not frozen is grouped.
        lr: of the head; the last layer has `lr * layer_decay`, the one below `lr * layer_decay ** 2` and so on.
        weight_decay: of all matrices.
        layer_decay: 1.0 gives all parts the same rate.

    Raises:
        ValueError: a negative or infinite lr or weight_decay, a layer_decay that is not above 0 and at most 1, or
            nothing is left to train.

    Examples:
        >>> import torch
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import models
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> tagger = models.BertTagger(BertModel(settings), n_labels=6)
        >>> groups = models.parameter_groups(tagger, lr=1e-3, layer_decay=0.5)
        >>> sorted({group["lr"] for group in groups}, reverse=True)  # the head, the layers, the embeddings
        [0.001, 0.0005, 0.00025, 0.000125]
        >>> optimizer = torch.optim.AdamW(groups)
    """
    lr = check_number("lr", lr, at_least=0)
    weight_decay = check_number("weight_decay", weight_decay, at_least=0)
    layer_decay = check_number("layer_decay", layer_decay, above=0, at_most=1)
    layers = tagger.layers() if layer_decay < 1 else []
    depth_of = {id(weight): 0 for weight in tagger.head.parameters()}
    depth_of |= {id(w): len(layers) - index for index, layer in enumerate(layers) for w in layer.parameters()}
    if (pooler := getattr(tagger.encoder, "pooler", None)) is not None:
        depth_of |= {id(weight): 0 for weight in pooler.parameters()}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, weight in tagger.named_parameters():
        if weight.requires_grad:
            is_matrix = name.replace("_fsdp_wrapped_module.", "") in tagger.matrices
            key = depth_of.get(id(weight), len(layers) + 1), is_matrix
            groups.setdefault(key, []).append(weight)
    if not groups:
        raise ValueError("every weight is frozen: nothing is left to train")
    return [
        {"params": weights, "lr": lr * layer_decay**depth, "weight_decay": weight_decay if is_matrix else 0.0}
        for (depth, is_matrix), weights in sorted(groups.items(), key=lambda item: item[0])
    ]
