//! What the seal promises: nothing opens but what was sealed, where it was sealed, under the key it was sealed with.

use super::*;
use crate::crypto::sha256;
use crate::native::sql::Database;
use chacha20::rand_core::SeedableRng as _;
use proptest::prelude::*;

/// Randomness for tests: the same every time.
pub(crate) fn rng(seed: u8) -> chacha20::ChaCha20Rng {
    chacha20::ChaCha20Rng::from_seed([seed; 32])
}

const HERE: Context<'static> =
    Context { did: "did:plc:alice", collection: COLLECTION, rkey: "3abcdefghijklmno", version: 1 };

fn key(byte: u8) -> DataKey {
    DataKey::from_bytes([byte; 32])
}

fn vault() -> (Database, Keyring, MasterKey) {
    let sql = Database::in_memory().unwrap();
    crate::store::migrate::migrate(&sql, crate::account::MIGRATIONS).unwrap();
    let master = MasterKey::from_bytes([9; 32]);
    let keyring = Keyring::create(&sql, "did:plc:alice", &master, 1, &mut rng(0)).unwrap();
    (sql, keyring, master)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn open_undoes_seal(plaintext in prop::collection::vec(any::<u8>(), 0..2_000), salt: [u8; 32]) {
        let sealed = seal(&key(1), &HERE, &plaintext, salt).unwrap();
        prop_assert_eq!(sealed.ciphertext.len(), padded_len(plaintext.len()) + 16);
        prop_assert_eq!(&*open(&key(1), &HERE, &sealed).unwrap(), &plaintext);
        prop_assert_eq!(open(&key(2), &HERE, &sealed).unwrap_err(), Error::Commitment);
    }

    /// Breaks if any bit of a record could be changed and the record still opens.
    #[test]
    fn any_flipped_bit_is_noticed(plaintext in prop::collection::vec(any::<u8>(), 0..400), at: prop::sample::Index, bit in 0_u8..8) {
        let block = encode_record(&SealedRecord::inline(seal(&key(1), &HERE, &plaintext, [5; 32]).unwrap()));
        let mut changed = block.clone();
        changed[at.index(block.len())] ^= 1_u8 << bit;
        let opened = decode_record(&changed).map(|record| match record.into_sealed() {
            Ok(sealed) => open(&key(1), &HERE, &sealed).is_ok(),
            Err(_) => false,
        });
        prop_assert!(!matches!(opened, Ok(true)));
    }

    /// Breaks if a seal, or one field of it, could be moved to another record, agent, collection or version.
    #[test]
    fn any_moved_field_is_noticed(one in prop::collection::vec(any::<u8>(), 0..300), other in prop::collection::vec(any::<u8>(), 0..300)) {
        let there = Context { rkey: "3bbbbbbbbbbbbbbb", ..HERE };
        let a = seal(&key(1), &HERE, &one, [1; 32]).unwrap();
        let b = seal(&key(2), &there, &other, [2; 32]).unwrap();
        for (changed, what) in [
            (Sealed { salt: b.salt, ..a.clone() }, "salt"),
            (Sealed { commit: b.commit, ..a.clone() }, "commit"),
            (Sealed { ciphertext: b.ciphertext.clone(), ..a.clone() }, "ciphertext"),
            (Sealed { suite: 2, ..a.clone() }, "suite"),
            (Sealed { salt: b.salt, commit: b.commit, ..a.clone() }, "salt and commit"),
            (b.clone(), "all"),
        ] {
            prop_assert!(open(&key(1), &HERE, &changed).is_err(), "{}", what);
        }
        for context in [
            there,
            Context { did: "did:plc:bob", ..HERE },
            Context { collection: "agent.other.sealed", ..HERE },
            Context { version: 2, ..HERE },
        ] {
            prop_assert_eq!(open(&key(1), &context, &a).unwrap_err(), Error::Commitment);
        }
    }

    #[test]
    fn streams_open_and_notice_every_change(len in 65_000_usize..200_000, at: prop::sample::Index, bit in 0_u8..8) {
        let plaintext = vec![7; len];
        let sealed = seal_stream(&key(1), &HERE, &plaintext, [3; 32]).unwrap();
        prop_assert_eq!(&*open_stream(&key(1), &HERE, &sealed).unwrap(), &plaintext);

        let mut flipped = sealed.clone();
        flipped.ciphertext[at.index(sealed.ciphertext.len())] ^= 1_u8 << bit;
        prop_assert_eq!(open_stream(&key(1), &HERE, &flipped).unwrap_err(), Error::Ciphertext);
        let mut cut = sealed.clone();
        cut.ciphertext.truncate(at.index(sealed.ciphertext.len()));
        prop_assert!(open_stream(&key(1), &HERE, &cut).is_err());
        let mut longer = sealed;
        longer.ciphertext.push(0);
        prop_assert!(open_stream(&key(1), &HERE, &longer).is_err());
    }

    #[test]
    fn garbage_never_panics(block in prop::collection::vec(any::<u8>(), 0..300), salt: [u8; 32]) {
        let _ = decode_record(&block);
        let sealed = Sealed { suite: 1, salt, commit: salt, ciphertext: block };
        prop_assert!(open(&key(1), &HERE, &sealed).is_err());
        prop_assert!(open_stream(&key(1), &HERE, &sealed).is_err());
    }
}

/// Breaks if chunks could be swapped, dropped or repeated.
#[test]
fn stream_chunks_keep_their_order_and_number() {
    const CHUNK: usize = 64 * 1024 + 16;
    let sealed = seal_stream(&key(1), &HERE, &vec![1; 180_000], [3; 32]).unwrap();
    let chunks: Vec<&[u8]> = sealed.ciphertext.chunks(CHUNK).collect();
    assert_eq!(chunks.len(), 3);
    for order in [&[1, 0, 2][..], &[0, 2], &[0, 1], &[0, 0, 1, 2], &[0, 1, 2, 2], &[2], &[]] {
        let ciphertext = order.iter().flat_map(|at| chunks[*at]).copied().collect();
        let changed = Sealed { ciphertext, ..sealed.clone() };
        assert!(open_stream(&key(1), &HERE, &changed).is_err(), "{order:?}");
    }
}

/// Breaks if a stream's first chunk opened as a whole inline record, which would be an unnoticed truncation.
#[test]
fn the_two_forms_do_not_open_as_each_other() {
    let stream = seal_stream(&key(1), &HERE, &vec![1; 180_000], [3; 32]).unwrap();
    let first = Sealed { ciphertext: stream.ciphertext[..64 * 1024 + 16].to_vec(), ..stream };
    assert_eq!(open(&key(1), &HERE, &first), Err(Error::Commitment));
    let inline = seal(&key(1), &HERE, b"short", [3; 32]).unwrap();
    assert_eq!(open_stream(&key(1), &HERE, &inline), Err(Error::Commitment));
}

#[test]
fn too_long_is_an_error() {
    let plaintext = vec![0; PLAINTEXT_INLINE_MAX + 1];
    assert!(matches!(seal(&key(1), &HERE, &plaintext, [0; 32]), Err(Error::TooLong { .. })));
    assert!(seal(&key(1), &HERE, &plaintext[1..], [0; 32]).is_ok());
}

#[test]
fn records_are_canonical_and_go_round() {
    let sealed = seal(&key(1), &HERE, b"hello", [5; 32]).unwrap();
    let blob = SealedBlob {
        cid: cid::Cid::new_v1(0x55, multihash::Multihash::wrap(0x12, &sha256(b"blob")).unwrap()),
        size: 70_000,
    };
    for record in [SealedRecord::inline(sealed.clone()), SealedRecord::stream(&sealed, blob)] {
        let block = encode_record(&record);
        let general: ipld_core::ipld::Ipld = serde_ipld_dagcbor::from_slice(&block).unwrap();
        assert_eq!(serde_ipld_dagcbor::to_vec(&general).unwrap(), block, "not canonical");
        assert_eq!(decode_record(&block), Ok(record));
    }
}

#[test]
fn other_records_are_refused() {
    use ipld_core::ipld;
    let good = ipld!({"$type": COLLECTION, "suite": 1, "salt": vec![0_u8; 32].as_slice(), "commit": vec![0_u8; 32].as_slice(), "ciphertext": vec![0_u8; 16].as_slice()});
    let encode = |value: &ipld_core::ipld::Ipld| serde_ipld_dagcbor::to_vec(value).unwrap();
    assert!(decode_record(&encode(&good)).is_ok());
    let ipld_core::ipld::Ipld::Map(map) = good else { unreachable!() };
    for (field, value) in [
        ("$type", ipld!("app.bsky.feed.post")),
        ("suite", ipld!(2)),
        ("suite", ipld!(-1)),
        ("salt", ipld!(vec![0_u8; 31].as_slice())),
        ("commit", ipld!("text")),
        ("ciphertext", ipld!(null)),
        ("blob", ipld!({"ref": 1})),
    ] {
        let mut changed = map.clone();
        changed.insert(field.to_owned(), value);
        assert!(decode_record(&encode(&ipld_core::ipld::Ipld::Map(changed))).is_err(), "{field}");
    }
    let mut newer = map.clone();
    newer.insert("later".to_owned(), ipld!("a field of a later lexicon"));
    assert!(decode_record(&encode(&ipld_core::ipld::Ipld::Map(newer))).is_ok());
}

#[test]
fn record_keys_are_valid_and_sort_as_their_bits() {
    let mut rng = rng(1);
    for _ in 0..100 {
        let rkey = random_record_key(&mut rng);
        assert_eq!(rkey.len(), 16);
        crate::syntax::validate_record_key(&rkey).unwrap();
    }
}

#[test]
fn keyring_opens_again_with_the_right_master_key_only() {
    let (sql, keyring, master) = vault();
    let write = keyring.seal_new(b"a memory", &mut rng(1)).unwrap();
    write.key.write(&sql).unwrap();

    let again = Keyring::open(&sql, "did:plc:alice", &master).unwrap();
    assert_eq!(*again.open_record(&sql, &write.key.rkey, &write.record).unwrap(), b"a memory");
    let other = MasterKey::from_bytes([8; 32]);
    assert_eq!(Keyring::open(&sql, "did:plc:alice", &other).unwrap_err(), Error::Unwrap("root key"));
    assert_eq!(Keyring::open(&sql, "did:plc:bob", &master).unwrap_err(), Error::Unwrap("root key"));
    assert!(matches!(Keyring::create(&sql, "did:plc:alice", &master, 1, &mut rng(2)), Err(Error::Sql(_))));
}

#[test]
fn forgetting_makes_noise() {
    let (sql, keyring, _) = vault();
    let write = keyring.seal_new(b"a memory", &mut rng(1)).unwrap();
    write.key.write(&sql).unwrap();
    assert_eq!(Keyring::forget(&sql, &write.key.rkey), Ok(true));
    assert_eq!(Keyring::forget(&sql, &write.key.rkey), Ok(false));
    assert_eq!(keyring.open_record(&sql, &write.key.rkey, &write.record), Err(Error::NoKey));
    assert_eq!(keyring.seal_next(&sql, &write.key.rkey, b"again", &mut rng(2)).unwrap_err(), Error::NoKey);
}

/// Breaks if an old ciphertext, an old keyring row or both put back after an update would mislead anyone.
#[test]
fn old_versions_do_not_come_back() {
    let (sql, keyring, _) = vault();
    let first = keyring.seal_new(b"first", &mut rng(1)).unwrap();
    first.key.write(&sql).unwrap();
    let second = keyring.seal_next(&sql, &first.key.rkey, b"second", &mut rng(2)).unwrap();
    second.key.write(&sql).unwrap();
    assert_eq!(second.key.version, 2);

    let rkey = &first.key.rkey;
    assert_eq!(*keyring.open_record(&sql, rkey, &second.record).unwrap(), b"second");
    assert_eq!(keyring.open_record(&sql, rkey, &first.record), Err(Error::Commitment));
    let relabelled = KeyringRow { version: 2, ..first.key.clone() };
    assert_eq!(keyring.open_with(&relabelled, &first.record), Err(Error::Unwrap("data key")));
    first.key.write(&sql).unwrap();
    assert_eq!(keyring.open_record(&sql, rkey, &second.record), Err(Error::Commitment));
}

#[test]
fn a_row_of_another_record_or_epoch_does_not_open() {
    let (_sql, keyring, _) = vault();
    let (a, b) = (keyring.seal_new(b"a", &mut rng(1)).unwrap(), keyring.seal_new(b"b", &mut rng(2)).unwrap());
    let moved = KeyringRow { rkey: b.key.rkey.clone(), ..a.key.clone() };
    assert_eq!(keyring.open_with(&moved, &a.record), Err(Error::Unwrap("data key")));
    assert_eq!(keyring.open_with(&b.key, &a.record), Err(Error::Commitment));
}

#[test]
fn epochs_rotate_and_are_destroyed_whole() {
    let (sql, mut keyring, master) = vault();
    let old = keyring.seal_new(b"old", &mut rng(1)).unwrap();
    old.key.write(&sql).unwrap();
    assert_eq!(keyring.destroy_epoch(&sql, 1, 5), Err(Error::EpochInUse(1)));
    assert_eq!(keyring.rotate(&sql, 4, &mut rng(2)), Ok(2));
    let new = keyring.seal_new(b"new", &mut rng(3)).unwrap();
    new.key.write(&sql).unwrap();
    assert_eq!(*keyring.open_record(&sql, &old.key.rkey, &old.record).unwrap(), b"old");

    assert_eq!(keyring.destroy_epoch(&sql, 1, 5), Ok(vec![old.key.rkey.clone()]));
    for keyring in [keyring, Keyring::open(&sql, "did:plc:alice", &master).unwrap()] {
        assert_eq!(keyring.current_epoch(), 2);
        assert_eq!(keyring.open_record(&sql, &old.key.rkey, &old.record), Err(Error::NoKey));
        assert_eq!(keyring.open_with(&old.key, &old.record), Err(Error::EpochDestroyed(1)));
        assert_eq!(*keyring.open_record(&sql, &new.key.rkey, &new.record).unwrap(), b"new");
    }
}

#[test]
fn shredding_leaves_no_key() {
    let (sql, keyring, master) = vault();
    let write = keyring.seal_new(b"a memory", &mut rng(1)).unwrap();
    write.key.write(&sql).unwrap();
    Keyring::shred(&sql).unwrap();
    assert_eq!(Keyring::open(&sql, "did:plc:alice", &master).unwrap_err(), Error::NoVault);
}

/// What breaks: a key can't be ended while the log could not be cut since the last.
#[test]
fn every_end_of_a_key_owes_a_cut_also_while_one_is_owed() {
    let (sql, mut keyring, _) = vault();
    let write = |text: &[u8]| {
        let write = keyring.seal_new(text, &mut rng(3)).unwrap();
        write.key.write(&sql).unwrap();
        write.key.rkey
    };
    let (first, second) = (write(b"one"), write(b"two"));
    cut_paid(&sql).unwrap();
    assert!(!owes_cut(&sql).unwrap());
    for _ in 0..2 {
        let next = keyring.seal_next(&sql, &first, b"newer", &mut rng(4)).unwrap();
        next.key.write(&sql).unwrap();
        assert!(owes_cut(&sql).unwrap(), "overwritten");
    }
    for rkey in [first, second] {
        Keyring::forget(&sql, &rkey).unwrap();
        assert!(owes_cut(&sql).unwrap(), "forgotten");
    }
    cut_paid(&sql).unwrap();
    keyring.rotate(&sql, 1, &mut rng(5)).unwrap();
    assert!(!owes_cut(&sql).unwrap(), "a rotation ends nothing");
    keyring.destroy_epoch(&sql, 1, 2).unwrap();
    assert!(owes_cut(&sql).unwrap(), "an epoch");
    Keyring::shred(&sql).unwrap();
}
