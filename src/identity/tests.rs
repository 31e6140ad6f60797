use rand_core::{TryCryptoRng, TryRng};

use super::*;
use crate::{
    crypto::SigningKey,
    syntax::{AtIdentifier, Did, Handle},
};

/// Not random at all: each key differs, and the same in every run.
pub(crate) struct CountingRng(pub u8);

impl TryRng for CountingRng {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0 = self.0.wrapping_add(1);
        Ok(u32::from(self.0))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.try_next_u32().map(u64::from)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0 = self.0.wrapping_add(1);
        bytes.fill(self.0);
        Ok(())
    }
}
impl TryCryptoRng for CountingRng {}

fn key(n: u8) -> SigningKey {
    SigningKey::generate(&mut CountingRng(n))
}

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn genesis(rotation_keys: &[&SigningKey]) -> PlcOperation {
    let rotation_keys: Vec<String> = rotation_keys.iter().map(|key| key.did_key()).collect();
    PlcOperation::genesis(&AtprotoData {
        signing_key: &key(100).did_key(),
        rotation_keys: &rotation_keys,
        handle: &handle("alice.test"),
        pds_endpoint: "http://localhost:2583",
    })
}

fn logged(operation: &Operation, created_at_us: i64) -> LoggedOperation {
    LoggedOperation { operation: operation.clone(), cid: operation.cid().unwrap(), created_at_us }
}

#[test]
fn a_did_is_made_changed_and_ended() {
    let key = key(1);
    let first = genesis(&[&key]).sign(&key).unwrap();
    let did = first.genesis_did().unwrap();
    assert_eq!((did.method(), did.identifier().len()), ("plc", 24));

    let mut change = first.successor().unwrap();
    change.set_handle(&handle("bob.test"));
    let second = change.sign(&key).unwrap();
    let third = second.tombstone().unwrap().sign(&key).unwrap();
    assert!(third.tombstone().is_err());

    let log = [first.clone(), second.clone(), third.clone()];
    assert_eq!(validate_log(&did, &log), Ok(&third));
    let document = DidDocument::from_plc_data(&second.data(&did).unwrap());
    assert_eq!(document.handle(), Some(handle("bob.test")));
    assert_eq!(document.pds_endpoint(), Some("http://localhost:2583"));
    assert_eq!(third.data(&did), None);

    assert_eq!(validate_log(&did, &[first.clone(), third]), Err(IdentityError::Misordered));
    let other: Did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    assert!(matches!(validate_log(&other, &[first]), Err(IdentityError::GenesisHash { .. })));
    assert_eq!(validate_log(&did, &[]), Err(IdentityError::NotFound));
}

#[test]
fn operations_are_read_exactly() {
    let key = key(1);
    let json = genesis(&[&key]).sign(&key).unwrap().to_json().unwrap();
    assert!(Operation::from_json(json.as_bytes()).is_ok());
    for (from, to) in [
        ("\"prev\":null,", ""),
        ("\"prev\":null", "\"prev\":null,\"extra\":1"),
        ("\"endpoint\"", "\"extra\":1,\"endpoint\""),
        ("plc_operation", "plc_operations"),
        ("\"sig\"", "\"sic\""),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json);
        assert!(Operation::from_json(changed.as_bytes()).is_err(), "{changed}");
    }
}

#[test]
fn only_a_rotation_key_signs_and_only_in_canonical_form() {
    let (ours, theirs) = (key(1), key(2));
    let operation = genesis(&[&theirs, &ours]).sign(&ours).unwrap();
    let keys = |keys: &[&SigningKey]| keys.iter().map(|key| key.did_key()).collect::<Vec<_>>();
    assert_eq!(operation.signer(&keys(&[&theirs, &ours])), Ok(1));
    assert_eq!(operation.signer(&keys(&[&theirs])), Err(IdentityError::Signature));

    let Operation::Plc(plc) = operation else { panic!("made as a plc operation") };
    for sig in [format!("{}==", plc.sig), format!("{}\n", plc.sig), plc.sig.replace('A', "+"), String::new()]
    {
        if sig != plc.sig {
            let changed = Operation::Plc(PlcOperation { sig, ..plc.clone() });
            assert_eq!(changed.signer(&keys(&[&ours])), Err(IdentityError::Signature));
        }
    }
}

#[test]
fn a_more_powerful_key_recovers_within_72_hours() {
    let (strong, weak) = (key(1), key(2));
    let first = genesis(&[&strong, &weak]).sign(&weak).unwrap();
    let did = first.genesis_did().unwrap();
    let mut theft = first.successor().unwrap();
    theft.rotation_keys = vec![weak.did_key()];
    let theft = theft.sign(&weak).unwrap();
    let log = [logged(&first, 1), logged(&theft, 2)];

    let recovery = |signer: &SigningKey| {
        let mut recovery = first.successor().unwrap();
        recovery.rotation_keys = vec![strong.did_key()];
        recovery.sign(signer).unwrap()
    };
    let good = recovery(&strong);
    let outcome = validate_next(&did, &log, &good, 2 + RECOVERY_WINDOW_US).unwrap();
    assert_eq!(outcome.nullified, [theft.cid().unwrap()]);
    assert_eq!(validate_next(&did, &log, &good, 3 + RECOVERY_WINDOW_US), Err(IdentityError::LateRecovery));
    assert_eq!(validate_next(&did, &log, &recovery(&weak), 3), Err(IdentityError::Signature));
    assert_eq!(validate_next(&did, &log, &good, 2), Err(IdentityError::Misordered));
}

#[test]
fn strangers_documents_are_read_tolerantly() {
    let did: Did = "did:web:example.com".parse().unwrap();
    let document = DidDocument::parse(
        &did,
        br##"{"@context": {"odd": 1}, "id": "did:web:example.com", "alsoKnownAs": [5, "https://x", "at://Alice.Example.com"],
            "verificationMethod": [null, {"id": "#atproto", "type": "Multikey", "controller": "did:web:example.com",
                "publicKeyMultibase": "zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N"}],
            "service": [{"id": "x", "type": ["a"], "serviceEndpoint": {}},
                {"id": "did:web:example.com#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example.com/"},
                {"id": "#bad", "type": "X", "serviceEndpoint": "ftp://example.com"},
                {"id": "#user", "type": "X", "serviceEndpoint": "https://a@b"}],
            "more": true}"##,
    )
    .unwrap();
    assert_eq!(document.handle(), Some(handle("alice.example.com")));
    assert_eq!(document.pds_endpoint(), Some("https://pds.example.com"));
    assert!(document.signing_key().is_some());
    assert_eq!((document.service_endpoint("bad"), document.service_endpoint("user")), (None, None));
    let bare = DidDocument::parse(&did, br#"{"id": "did:web:example.com"}"#).unwrap();
    assert_eq!((bare.handle(), bare.pds_endpoint(), bare.signing_key()), (None, None, None));
    assert!(DidDocument::parse(&did, br#"{"id": "did:web:example.org"}"#).is_err());
    assert!(DidDocument::parse(&did, b"[]").is_err());
}

#[test]
fn did_web_and_urls() {
    let url = |did: &str| did_web_document_url(&did.parse().unwrap());
    assert_eq!(url("did:web:example.com").unwrap(), "https://example.com/.well-known/did.json");
    assert_eq!(url("did:web:localhost%3A2583").unwrap(), "http://localhost:2583/.well-known/did.json");
    for bad in [
        "did:web:example.com:users:alice",
        "did:web:example.com%3A8080",
        "did:web:localhost%3A99999",
        "did:web:127.0.0.1",
        "did:web:example",
        "did:web:a%2Fb.com",
        "did:plc:abc",
    ] {
        assert!(url(bad).is_err(), "{bad}");
    }
    assert_eq!(did_web_of_url("http://localhost:2583").unwrap(), *"did:web:localhost%3A2583");
    assert_eq!(did_web_of_url("https://pds.example.com/").unwrap(), *"did:web:pds.example.com");
    for bad in [
        "http://pds.example.com",
        "https://localhost",
        "https://pds.example.com/x",
        "pds.example.com",
        "https://1.2.3.4",
    ] {
        assert!(did_web_of_url(bad).is_err(), "{bad}");
    }
    let did = did_web_of_url("http://localhost:1").unwrap();
    let document = DidDocument::for_service(
        &did,
        &[("atproto_pds", "AtprotoPersonalDataServer", "http://localhost:1")],
        &[("atproto", &key(1).did_key())],
    );
    assert_eq!(document.pds_endpoint(), Some("http://localhost:1"));
    assert_eq!(document.signing_key(), Some(key(1).verifying_key()));
}

#[test]
fn handle_records() {
    let records =
        |records: &[&str]| did_of_txt_records(&records.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>());
    assert_eq!(records(&["v=spf1", "did=did:plc:abc"]).unwrap(), *"did:plc:abc");
    assert_eq!(records(&["did=did:plc:abc", "did=did:plc:abc"]).unwrap(), *"did:plc:abc");
    for none in [&["did=did:plc:abc", "did=did:plc:def"][..], &[], &["did=x"], &["did:plc:abc"]] {
        assert_eq!(records(none), None, "{none:?}");
    }
    assert_eq!(did_of_well_known(b" did:plc:abc \r\nmore").unwrap(), *"did:plc:abc");
    assert_eq!(did_of_well_known(b"<html>"), None);
    assert_eq!(did_of_well_known(b"\xff"), None);
}

/// Runs a resolution against a table of the network.
fn run<R: Resolution>(mut resolution: R, network: &[(&str, Response)]) -> Result<R::Output, IdentityError> {
    for _ in 0..10 {
        let asked = match resolution.request() {
            Request::Get { url, .. } => url,
            Request::Txt { name } => name,
            Request::Address { name } => format!("address of {name}"),
        };
        let answer = network.iter().find(|(name, _)| *name == asked).map(|(_, response)| response.clone());
        match resolution.answer(answer.unwrap_or(Response::Failed(format!("{asked} is not there")))) {
            Step::Ask(next) => resolution = next,
            Step::Done(outcome) => return outcome,
        }
    }
    panic!("the resolution does not end");
}

#[test]
fn identities_are_proven_in_both_directions() {
    let key = key(1);
    let operation = genesis(&[&key]).sign(&key).unwrap();
    let did = operation.genesis_did().unwrap();
    let document = serde_json::to_vec(&DidDocument::from_plc_data(&operation.data(&did).unwrap())).unwrap();
    let plc = format!("http://plc.test/{did}");
    let found = (plc.as_str(), Response::Body { status: 200, body: document });
    let txt = ("_atproto.alice.test", Response::Txt(vec![format!("did={did}")]));
    let other = ("_atproto.alice.test", Response::Txt(vec!["did=did:plc:other".to_owned()]));
    let file = (
        "https://alice.test/.well-known/atproto-did",
        Response::Body { status: 200, body: did.as_str().as_bytes().to_vec() },
    );
    let resolve = |identifier: &str, network: &[(&str, Response)]| {
        let identifier: AtIdentifier = identifier.parse().unwrap();
        run(IdentityResolution::new(&identifier, "http://plc.test").unwrap(), network)
    };
    for network in [[found.clone(), txt.clone()], [found.clone(), file]] {
        for identifier in ["Alice.test", did.as_str()] {
            let identity = resolve(identifier, &network).unwrap();
            assert_eq!((&identity.did, identity.handle), (&did, handle("alice.test")));
        }
    }
    assert!(resolve(did.as_str(), &[found.clone(), other.clone()]).unwrap().handle.is_invalid());
    assert!(resolve(did.as_str(), std::slice::from_ref(&found)).unwrap().handle.is_invalid());
    assert!(matches!(resolve("alice.test", &[found, other]), Err(IdentityError::Unreachable(_))));
    assert!(matches!(resolve("alice.test", &[txt]), Err(IdentityError::Unreachable(_))));
    let gone = [(plc.as_str(), Response::Body { status: 404, body: Vec::new() })];
    assert_eq!(resolve(did.as_str(), &gone), Err(IdentityError::NotFound));
    assert!(IdentityResolution::new(&"did:key:z1".parse().unwrap(), "").is_err());
}

/// What breaks: a name server or a web server that is down for an hour costs its accounts their handles.
#[test]
fn a_handle_is_nobodys_only_where_all_who_could_name_somebody_were_heard() {
    let (txt, file, address) =
        ("_atproto.alice.test", "https://alice.test/.well-known/atproto-did", "address of alice.test");
    let says = |status: u16, text: &str| Response::Body { status, body: text.as_bytes().to_vec() };
    let find = |network: &[(&str, Response)]| run(HandleResolution::new(&handle("alice.test")), network);
    let none = (txt, Response::Txt(vec!["v=spf1".to_owned()]));
    for heard in [
        vec![none.clone(), (file, says(404, ""))],
        vec![none.clone(), (file, says(200, "<html>"))],
        vec![none.clone(), (file, says(301, ""))],
        vec![none.clone(), (address, Response::Address(false))],
        vec![none.clone(), (file, says(530, "")), (address, Response::Address(false))],
    ] {
        assert_eq!(find(&heard), Err(IdentityError::NotFound), "{heard:?}");
    }
    for silent in [
        vec![],
        vec![(file, says(404, ""))],
        vec![(file, says(200, "<html>"))],
        vec![(address, Response::Address(false))],
        vec![none.clone()],
        vec![none.clone(), (file, says(503, ""))],
        vec![none.clone(), (file, says(503, "")), (address, Response::Address(true))],
        vec![none.clone(), (file, says(429, ""))],
        vec![none.clone(), (address, Response::Address(true))],
    ] {
        assert!(matches!(find(&silent), Err(IdentityError::Unreachable(_))), "{silent:?}");
    }
    assert_eq!(find(&[(file, says(200, "did:plc:abc"))]).unwrap(), *"did:plc:abc");
}

#[test]
fn the_cache_ages_and_is_bounded() {
    const HOUR_US: i64 = 3_600_000_000;
    let mut cache = Cache::new(2, 1_000);
    cache.insert("a", 1, 1, 0);
    assert_eq!(cache.get("a", HOUR_US - 1), Lookup::Fresh(&1));
    assert_eq!(cache.get("a", HOUR_US), Lookup::Stale(&1));
    assert_eq!(cache.get("a", 24 * HOUR_US), Lookup::Miss);
    cache.insert("b", 2, 1, 0);
    cache.insert("a", 3, 1, 0);
    cache.insert("c", 4, 1, 0);
    assert_eq!((cache.get("a", 0), cache.get("b", 0), cache.len()), (Lookup::Fresh(&3), Lookup::Miss, 2));
    cache.remove("a");
    assert_eq!((cache.get("a", 0), cache.len()), (Lookup::Miss, 1));
    for n in 0..1000 {
        cache.insert(if n % 2 == 0 { "x" } else { "y" }, n, 1, 0);
    }
    assert_eq!((cache.len(), cache.by_age_len()), (2, 2));
}

/// Logs of plc.directory and the did:plc project's own cases, for whoever has them at hand:
/// `ZAP_PLC_LOGS=…/interop_tests/audit_log cargo test plc_logs -- --ignored`.
#[test]
#[ignore = "needs the did-method-plc repository's interop_tests"]
fn plc_logs_of_the_reference() {
    let root = std::env::var("ZAP_PLC_LOGS").unwrap();
    let mut seen = 0;
    for kind in ["valid", "invalid"] {
        for file in std::fs::read_dir(format!("{root}/{kind}")).unwrap() {
            let path = file.unwrap().path();
            let entries: Vec<serde_json::Value> =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let outcome = replay(&entries);
            assert_eq!(outcome.is_ok(), kind == "valid", "{path:?}: {outcome:?}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen} logs");
}

fn replay(entries: &[serde_json::Value]) -> Result<(), String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut log: Vec<(LoggedOperation, bool)> = Vec::new();
    for entry in entries {
        let did: Did = text(&entry["did"]).parse().map_err(|e| format!("{e}"))?;
        let operation =
            Operation::from_json(entry["operation"].to_string().as_bytes()).map_err(|e| e.to_string())?;
        let now_us =
            crate::syntax::parse_datetime_us(&text(&entry["createdAt"])).map_err(|e| e.to_string())?;
        let in_force: Vec<_> =
            log.iter().filter(|(_, nullified)| !nullified).map(|(entry, _)| entry.clone()).collect();
        let next = validate_next(&did, &in_force, &operation, now_us).map_err(|e| e.to_string())?;
        if next.cid.to_string() != text(&entry["cid"]) {
            return Err(format!("cid {} is not {}", next.cid, entry["cid"]));
        }
        for (entry, nullified) in &mut log {
            *nullified |= next.nullified.contains(&entry.cid);
        }
        log.push((LoggedOperation { operation, cid: next.cid, created_at_us: now_us }, false));
    }
    for ((_, nullified), entry) in log.iter().zip(entries) {
        if entry["nullified"].as_bool() != Some(*nullified) {
            return Err(format!("nullified is not {nullified} for {}", entry["cid"]));
        }
    }
    Ok(())
}

#[test]
fn a_large_document_is_refused_and_a_long_list_is_cut() {
    let did = Did::try_from("did:web:large.example").unwrap();
    let document = |names: usize| {
        let names: Vec<String> = (0..names).map(|number| format!("at://n{number}.example")).collect();
        serde_json::json!({"id": did, "alsoKnownAs": names}).to_string()
    };
    assert_eq!(DidDocument::parse(&did, document(1_000).as_bytes()).unwrap().also_known_as.len(), 64);
    assert!(DidDocument::parse(&did, document(10_000).as_bytes()).is_err());
}

#[test]
fn a_cache_holds_so_many_bytes() {
    let mut cache = Cache::new(100, 1_000);
    for number in 0..100 {
        cache.insert(number, "document", 300, 0);
        assert!(cache.len() <= 3);
    }
    cache.insert(100, "all of it", 1_001, 0);
    assert!(cache.is_empty());
    cache.insert(101, "some", 1_000, 0);
    cache.insert(101, "less", 10, 0);
    cache.insert(102, "the rest", 990, 0);
    assert_eq!(cache.len(), 2);
}

/// What breaks: a did:web that names the host of the did:plc directory is fetched without the checks of addresses.
#[test]
fn only_the_directory_is_the_operators_choice() {
    let plc = "http://localhost:2582";
    for (did, expected) in [("did:plc:ewvi7nxzyoun6zhxrhs64oiz", true), ("did:web:localhost%3A2582", false)] {
        let resolution = DidResolution::new(&Did::try_from(did).unwrap(), plc).unwrap();
        let Request::Get { url, is_operators, .. } = resolution.request() else {
            panic!("a document is fetched")
        };
        assert!(url.starts_with(plc), "{url}");
        assert_eq!(is_operators, expected, "{did}");
    }
    let by_web = HandleResolution::new(&Handle::try_from("alice.example.com").unwrap());
    let Step::Ask(by_web) = by_web.answer(Response::Txt(Vec::new())) else {
        panic!("it is asked by https next")
    };
    assert!(matches!(by_web.request(), Request::Get { is_operators: false, .. }));
}
