"""Which part of IMDB a file holds, told by its texts: what would have shown that train and test were swapped."""

import hashlib
from collections.abc import Iterable

# The first twelve digits of the SHA-256 of some reviews of each part (those with the smallest digests), and of no text
# that is in both parts.
_LANDMARKS = {
    "train": """
        00008ec0634b 00009d65489a 0000ffd50f73 0001bc097b0b 0002ce5ab06c 0009871ed533 0009b7d19606 000c66ec00d1
        000e2816e6a3 000ea7f0db77 000f4002068b 00133e3752c1 001778a7c9fb 001b077fdd80 001b35e19468 001d329eadab
        001e34957746 001e568f9312 001ed2d1ac8d 001f1ec79027 002220daf631 002241c7df30 0024ade68226 0024ee39e5cb
        002821466269 002824c553dd 0028aabadc4a 002fcc753e7d 003099658281 003103b0425a 003205a3c38b 0037d7d13d89
        0038e218f8f6 00390e422e0a 003ae0d2e7cb 003b87972daf 003d13f96243 003ff86df78e 003ffc2ca0ea 004c1361e2f7
    """,
    "test": """
        0006bbe6e89f 000d8993d10f 000f3b8bfccf 0013fad67e05 0018022564d1 00194b12f555 001a1dda94c9 0020c0dba814
        00311569b240 003c937c9cbf 004df0bce897 004f9273fff8 00536237d72b 00540ae60c38 0055c76bc29b 005ae5eba1e4
        005cba3825ee 006263535670 006c3a353474 006d99aa6b2f 007433c152e2 007688fa0e1a 00769d43c22a 007ae821701f
        007d656cab5b 007eadaf0c3a 00877907e60e 009133a70c39 0095b1d7903d 00a1de8d46ed 00a50f31317b 00a5ed68f5d9
        00a7847518d0 00a8babeaa85 00ac7e0e1694 00b6cd13a828 00b8f1911cda 00c0d48e56b8 00c0f829f37c 00cadbce3ee7
    """,
}
_PART_OF = {digest: part for part, digests in _LANDMARKS.items() for digest in digests.split()}


def imdb_parts(reviews: Iterable[str]) -> dict[int, str]:
    """The rows, counted from 0, whose reviews are known landmarks of IMDB, and the part that they belong to.

    About one review in five hundred is one; a text that is no review of IMDB never is.

    Args:
        reviews: texts as the file has them.

    Returns:
        {row: "train" or "test"}.
    """
    digests = (hashlib.sha256(review.strip().encode("utf-8", "replace")).hexdigest()[:12] for review in reviews)
    return {row: _PART_OF[digest] for row, digest in enumerate(digests) if digest in _PART_OF}
