"""Hugging Face's Trainer and a loop by hand are one training: the claim of notebook 06, with dropout on."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from helpers import datasets, loaders, loops, text

STEPS, BATCH, LR = 20, 8, 1e-3


def classifier():
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    return BertForSequenceClassification(
        BertConfig(**sizes, num_labels=1, problem_type="multi_label_classification")
    ).train()


def rows(tokenizer):
    reviews = datasets.load_reviews().head(STEPS * BATCH)
    tokens = loaders.tokenize(reviews["comment_text"], tokenizer, max_length=24, keep="tail")
    ids = np.split(tokens.ids, tokens.offsets[1:-1])
    return [{"input_ids": row.tolist(), "labels": [float(y)]} for row, y in zip(ids, reviews["positive"], strict=True)]


def test_trainer_and_loop_have_the_same_losses_for_twenty_steps(tmp_path):
    tokenizer = text.load_tokenizer()
    examples, collate = rows(tokenizer), DataCollatorWithPadding(tokenizer)
    by_hand, model = [], classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0)
    schedule = loops.linear_warmup(optimizer, steps=STEPS, warmup=0.1)
    torch.manual_seed(0)
    for batch in DataLoader(examples, BATCH, collate_fn=collate):
        loss = model(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        by_hand.append(loss.item())
    arguments = TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=LR,
        warmup_steps=0.1,
        train_sampling_strategy="sequential",
        seed=0,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=classifier(), args=arguments, data_collator=collate, train_dataset=examples)
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(theirs) == STEPS
    np.testing.assert_allclose(theirs, by_hand, atol=1e-5)
    weights = zip(model.parameters(), trainer.model.parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in weights) < 1e-5
    moved = zip(model.parameters(), classifier().parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in moved) > 1e-3  # else both did nothing
