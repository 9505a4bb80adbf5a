import pandas as pd
import pytest

LABELS = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


@pytest.fixture
def comments_file(tmp_path):
    """Write a small file in Jigsaw's schema; keyword arguments replace columns, `drop` leaves some out."""

    def write(name="comments.csv", rows=4, drop=(), folder=tmp_path, **columns):
        table = {"id": [f"{i:016x}" for i in range(rows)], "comment_text": [f'Comment "{i}", one' for i in range(rows)]}
        table |= {label: [int(i % 4 == 1) for i in range(rows)] for label in LABELS}
        table |= columns
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(table).drop(columns=list(drop)).to_csv(path, index=False)
        return path

    return write
