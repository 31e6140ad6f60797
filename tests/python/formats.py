"""A second reader and writer of what agents keep and send, made from docs/formats.md alone.

    formats.py check FOLDER      holds the known answers of tests/vectors against this
    formats.py read  < JSON      opens a letter and an archive, and says what is in them
    formats.py write < JSON      seals a letter, a record and an archive
"""

import hashlib
import hmac
import json
import os
import struct
import sys
from pathlib import Path

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SEALED = "agent.vault.sealed"
LETTER = "agent.comms.letter/1"
CHUNK, TAG = 65536, 16
RECORD_FLOOR, LETTER_FLOOR = 256, 1024
LETTER_MAX = 327680


class Refused(Exception):
    pass


def cbor(value):
    return cbor2.dumps(value, canonical=True)


def sha256(data):
    return hashlib.sha256(data).digest()


# Padding


def padded_len(length, floor):
    length += 1
    if length <= floor:
        return floor
    exponent = length.bit_length() - 1
    precision = exponent.bit_length()
    mask = (1 << (exponent - precision)) - 1
    return (length + mask) & ~mask


def pad(plaintext, floor):
    return (plaintext + b"\x80").ljust(padded_len(len(plaintext), floor), b"\0")


def unpad(padded, floor):
    stripped = padded.rstrip(b"\0")
    if stripped[-1:] != b"\x80" or padded_len(len(stripped) - 1, floor) != len(padded):
        raise Refused("padding")
    return stripped[:-1]


# Keys


def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    return HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(prk)


def derive(key, label):
    return expand(extract(b"", key), b"zap/derive/1/" + label.encode(), 32)


def hchacha20(key, nonce):
    state = list(struct.unpack("<16L", b"expand 32-byte k" + key + nonce))

    def rotate(value, count):
        return ((value << count) | (value >> (32 - count))) & 0xFFFFFFFF

    def quarter(a, b, c, d):
        for x, y, z, count in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            state[z] = rotate(state[z] ^ state[x], count)

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return struct.pack("<8L", *state[:4], *state[12:])


def xchacha(key, nonce):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


def wrap(key, aad, secret):
    nonce = os.urandom(24)
    aead, short = xchacha(key, nonce)
    return nonce + aead.encrypt(short, secret, aad)


def unwrap(key, aad, wrapped):
    aead, short = xchacha(key, wrapped[:24])
    return aead.decrypt(short, wrapped[24:], aad)


# Sealed records


def record_keys(form, data_key, salt, aad):
    label = {"inline": b"agent.vault.sealed/1", "stream": b"agent.vault.sealed/1/stream"}[form]
    okm = expand(extract(salt, data_key), label + sha256(aad), 64)
    return ChaCha20Poly1305(okm[:32]), okm[32:]


def record_aad(did, rkey, version):
    return cbor([1, did, SEALED, rkey, version])


def stream_nonce(number, is_last):
    return bytes(7) + struct.pack(">LB", number, is_last)


def seal(form, data_key, salt, aad, plaintext):
    aead, commit = record_keys(form, data_key, salt, aad)
    padded = pad(plaintext, RECORD_FLOOR)
    if form == "inline":
        return commit, aead.encrypt(bytes(12), padded, aad)
    chunks = [padded[at : at + CHUNK] for at in range(0, len(padded), CHUNK)]
    last = len(chunks) - 1
    return commit, b"".join(aead.encrypt(stream_nonce(n, n == last), chunk, aad) for n, chunk in enumerate(chunks))


def unseal(form, data_key, salt, commit, aad, ciphertext):
    aead, own = record_keys(form, data_key, salt, aad)
    if not hmac.compare_digest(own, commit):
        raise Refused("commitment")
    if form == "inline":
        return unpad(aead.decrypt(bytes(12), ciphertext, aad), RECORD_FLOOR)
    size = CHUNK + TAG
    chunks = [ciphertext[at : at + size] for at in range(0, len(ciphertext), size)]
    last = len(chunks) - 1
    padded = b"".join(aead.decrypt(stream_nonce(n, n == last), chunk, aad) for n, chunk in enumerate(chunks))
    return unpad(padded, RECORD_FLOOR)


# Archives: the manifest, its keys, and a record by them


def manifest_key(manifest, passphrase):
    kdf = manifest["kdf"]
    if kdf["name"] != "argon2id" or kdf["memoryKib"] > 65536 or kdf["passes"] > 16:
        raise Refused("kdf")
    argon = Argon2id(
        salt=kdf["salt"], length=32, iterations=kdf["passes"], lanes=kdf["lanes"], memory_cost=kdf["memoryKib"]
    )
    return argon.derive(passphrase.encode())


def open_manifest(block, passphrase):
    manifest = cbor2.loads(block)
    if cbor(manifest) != block or manifest["v"] not in (1, 2):
        raise Refused("manifest")
    aad = cbor({**manifest, "sealed": b""})
    return manifest, cbor2.loads(unwrap(manifest_key(manifest, passphrase), aad, manifest["sealed"]))


def seal_manifest(manifest, passphrase, secrets):
    bare = {**manifest, "sealed": b""}
    return cbor({**bare, "sealed": wrap(manifest_key(bare, passphrase), cbor(bare), cbor(secrets))})


def wrap_aad(purpose, place, number):
    return cbor([purpose, place, number])


def data_key(did, secrets, rkey):
    epochs = {epoch["id"]: epoch["wrapped"] for epoch in secrets["epochs"]}
    version, epoch, wrapped = next(row[1:] for row in secrets["keys"] if row[0] == rkey)
    epoch_key = unwrap(secrets["rootKey"], wrap_aad("agent.vault.epoch/1", did, epoch), epochs[epoch])
    place = f"at://{did}/{SEALED}/{rkey}"
    return version, unwrap(epoch_key, wrap_aad("agent.vault.dek/1", place, version), wrapped)


# X-Wing and HPKE


def xwing_private(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


def xwing_public(seed):
    m, x = xwing_private(seed)
    return m.public_key().public_bytes_raw() + x.public_key().public_bytes_raw()


def xwing_secret(ss_m, ss_x, ct_x, pk_x):
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + rb"\.//^" + b"\\").digest()


def encapsulate(public):
    pk_m, pk_x = public[:1184], public[1184:]
    ss_m, ct_m = MLKEM768PublicKey.from_public_bytes(pk_m).encapsulate()
    ephemeral = X25519PrivateKey.generate()
    ct_x = ephemeral.public_key().public_bytes_raw()
    ss_x = ephemeral.exchange(X25519PublicKey.from_public_bytes(pk_x))
    return ct_m + ct_x, xwing_secret(ss_m, ss_x, ct_x, pk_x)


def decapsulate(seed, enc):
    m, x = xwing_private(seed)
    ct_m, ct_x = enc[:1088], enc[1088:]
    ss_x = x.exchange(X25519PublicKey.from_public_bytes(ct_x))
    return xwing_secret(m.decapsulate(ct_m), ss_x, ct_x, x.public_key().public_bytes_raw())


def hpke_context(shared, info):
    suite = b"HPKE" + struct.pack(">HHH", 0x647A, 1, 3)

    def labeled_extract(salt, label, ikm):
        return extract(salt, b"HPKE-v1" + suite + label + ikm)

    def labeled_expand(prk, label, info, length):
        return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)

    context = b"\0" + labeled_extract(b"", b"psk_id_hash", b"") + labeled_extract(b"", b"info_hash", info)
    secret = labeled_extract(shared, b"secret", b"")
    key = labeled_expand(secret, b"key", context, 32)
    return ChaCha20Poly1305(key), labeled_expand(secret, b"base_nonce", context, 12)


# Letters

TOP = {"ct", "id", "to", "enc", "key", "from", "suite", "expires"}
CONTENT = {"id", "to", "seq", "body", "from", "sent", "toKey", "encHash", "expires", "fromKey", "conversation"}


def letter_info(to, key):
    return cbor([LETTER, to, key])


def letter_aad(letter):
    return cbor([1, letter["id"], letter["from"], letter["expires"]])


def seal_letter(author_seed, recipient, content):
    enc, shared = encapsulate(recipient)
    content = cbor({**content, "encHash": sha256(enc)})
    said = cbor2.loads(content)
    signature = Ed25519PrivateKey.from_private_bytes(author_seed).sign(LETTER.encode() + b"\0" + content)
    letter = {name: said[name] for name in ("id", "to", "from", "expires")}
    letter |= {"key": said["toKey"], "suite": 1, "enc": enc}
    aead, nonce = hpke_context(shared, letter_info(letter["to"], letter["key"]))
    padded = pad(cbor({"content": content, "signature": signature}), LETTER_FLOOR)
    return cbor({**letter, "ct": aead.encrypt(nonce, padded, letter_aad(letter))})


def open_letter(seed, author, block):
    if len(block) > LETTER_MAX:
        raise Refused("size")
    try:
        letter = cbor2.loads(block)
    except Exception as error:
        raise Refused("not a letter") from error
    if not isinstance(letter, dict) or set(letter) != TOP or cbor(letter) != block:
        raise Refused("not a letter")
    if letter["suite"] != 1:
        raise Refused("suite")
    aead, nonce = hpke_context(decapsulate(seed, letter["enc"]), letter_info(letter["to"], letter["key"]))
    plaintext = cbor2.loads(unpad(aead.decrypt(nonce, letter["ct"], letter_aad(letter)), LETTER_FLOOR))
    content = cbor2.loads(plaintext["content"])
    if set(content) - {"prev"} != CONTENT:
        raise Refused("content")
    outside = [letter["id"], letter["from"], letter["to"], letter["key"], letter["expires"], sha256(letter["enc"])]
    if outside != [content[name] for name in ("id", "from", "to", "toKey", "expires", "encHash")]:
        raise Refused("outside and inside")
    signed = LETTER.encode() + b"\0" + plaintext["content"]
    Ed25519PublicKey.from_public_bytes(author).verify(plaintext["signature"], signed)
    return content


def is_refused(call):
    try:
        call()
    except (Refused, InvalidTag, InvalidSignature):
        return True
    return False


# The commands


def check(folder):
    unhex = bytes.fromhex
    records = json.loads((folder / "suite1.json").read_text())["vectors"]
    for v in records:
        plaintext = bytes(i % 251 for i in range(v["plaintextLength"]))
        aad = record_aad(v["did"], v["rkey"], v["version"])
        assert aad.hex() == v["aad"], v["comment"]
        commit, ciphertext = seal(v["form"], unhex(v["dataKey"]), unhex(v["salt"]), aad, plaintext)
        assert commit.hex() == v["commit"] and sha256(ciphertext).hex() == v["ciphertextSha256"], v["comment"]
        opened = unseal(v["form"], unhex(v["dataKey"]), unhex(v["salt"]), commit, aad, ciphertext)
        assert opened == plaintext, v["comment"]
    letters = json.loads((folder / "letter1.json").read_text())
    seed, author = unhex(letters["letterSeed"]), Ed25519PrivateKey.from_private_bytes(unhex(letters["authorSeed"]))
    author = author.public_key().public_bytes_raw()
    assert xwing_public(seed).hex() == letters["letterKey"] and author.hex() == letters["authorKey"]
    for v in letters["vectors"]:
        if v["opens"]:
            content = open_letter(seed, author, unhex(v["letter"]))
            assert content["body"].hex() == v["body"] and cbor(content).hex() == v["content"], v["comment"]
        else:
            assert is_refused(lambda: open_letter(seed, author, unhex(v["letter"]))), v["comment"]
    print(f"{len(records)} records and {len(letters['vectors'])} letters are as they should be")


def read(given):
    content = open_letter(*(bytes.fromhex(given[name]) for name in ("letterSeed", "authorKey", "letter")))
    manifest, secrets = open_manifest(bytes.fromhex(given["manifest"]), given["passphrase"])
    record = cbor2.loads(bytes.fromhex(given["record"]))
    version, key = data_key(manifest["did"], secrets, given["rkey"])
    aad = record_aad(manifest["did"], given["rkey"], version)
    plaintext = unseal("inline", key, record["salt"], record["commit"], aad, record["ciphertext"])
    print(json.dumps({"body": content["body"].hex(), "plaintext": plaintext.hex()}))


def write(given):
    did, rkey = given["did"], given["rkey"]
    content = {
        "id": given["id"], "to": did, "seq": 1, "body": bytes.fromhex(given["body"]), "from": did, "sent": given["sent"],
        "toKey": given["toKey"], "expires": given["expires"], "fromKey": given["fromKey"], "conversation": given["id"],
    }  # fmt: skip
    letter = seal_letter(bytes.fromhex(given["authorSeed"]), bytes.fromhex(given["letterKey"]), content)

    root, epoch, key, salt = (os.urandom(32) for _ in range(4))
    commit, ciphertext = seal("inline", key, salt, record_aad(did, rkey, 1), bytes.fromhex(given["body"]))
    record = cbor({"$type": SEALED, "suite": 1, "salt": salt, "commit": commit, "ciphertext": ciphertext})
    place = f"at://{did}/{SEALED}/{rkey}"
    secrets = {
        "signingKey": os.urandom(32),
        "rootKey": root,
        "epochs": [
            {
                "id": 1,
                "wrapped": wrap(root, wrap_aad("agent.vault.epoch/1", did, 1), epoch),
                "createdUs": given["sent"],
                "destroyedUs": None,
            }
        ],
        "keys": [[rkey, 1, 1, wrap(epoch, wrap_aad("agent.vault.dek/1", place, 1), key)]],
    }
    manifest = cbor2.loads(bytes.fromhex(given["manifest"]))
    manifest = seal_manifest(manifest, given["passphrase"], secrets)
    print(json.dumps({"letter": letter.hex(), "record": record.hex(), "manifest": manifest.hex()}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check", folder]:
            check(Path(folder))
        case ["read"]:
            read(json.load(sys.stdin))
        case ["write"]:
            write(json.load(sys.stdin))
        case _:
            sys.exit(__doc__)
