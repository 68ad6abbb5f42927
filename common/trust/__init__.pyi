from .keys import (
    PublicKey,
    Purpose,
    Signature,
    SigningKey,
    check_signature,
    plain_bytes,
    plain_text,
    url_bytes,
    url_text,
)
from .seal import MAGIC, Opened, body_of, purpose_of, signer_of, unseal

__all__ = [
    "MAGIC",
    "Opened",
    "PublicKey",
    "Purpose",
    "Signature",
    "SigningKey",
    "body_of",
    "check_signature",
    "plain_bytes",
    "plain_text",
    "purpose_of",
    "signer_of",
    "unseal",
    "url_bytes",
    "url_text",
]
