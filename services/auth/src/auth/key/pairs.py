"""ES256 key pairs: made, sealed for storage, opened again."""

import json
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.utils import base64url_encode

from common.sealing import EncryptionKeys, Unreadable

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    private: ec.EllipticCurvePrivateKey
    public_jwk: dict[str, str]


def generate() -> SigningKey:
    return _with_names(ec.generate_private_key(ec.SECP256R1()))


def _with_names(private: ec.EllipticCurvePrivateKey) -> SigningKey:
    """The key with its public half; the id is the thumbprint of RFC 7638."""
    public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    needed = {name: str(public[name]) for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(needed, sort_keys=True, separators=(",", ":")).encode()
    kid = base64url_encode(sha256(canonical).digest()).decode()
    return SigningKey(kid, private, {**needed, "kid": kid, "alg": ALGORITHM, "use": "sig"})


def seal(key: SigningKey, encryption_keys: EncryptionKeys) -> bytes:
    """The private half for storage: bound to the key's id."""
    plain = key.private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encryption_keys.seal(plain, key.kid)


def unseal(kid: str, sealed: bytes, encryption_keys: EncryptionKeys) -> SigningKey:
    """The key whose private half was sealed under `kid`.

    Raises:
        Unreadable: another encryption key sealed it, or it was tampered with.
    """
    plain = encryption_keys.unseal(sealed, kid)
    private = serialization.load_der_private_key(plain, password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Unreadable(f"signing key {kid} is of another kind")
    key = _with_names(private)
    if key.kid != kid:
        raise Unreadable(f"signing key {kid} is another key")
    return key
