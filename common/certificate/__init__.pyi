from .certificate import Certificate, plain_words, trust_words
from .certify import certify_plan, check_certificate, same_certificate
from .check import CheckedClaim, check_by_others

__all__ = [
    "Certificate",
    "CheckedClaim",
    "certify_plan",
    "check_by_others",
    "check_certificate",
    "plain_words",
    "same_certificate",
    "trust_words",
]
