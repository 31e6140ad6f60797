use super::*;
use crate::{
    crypto::SigningKey,
    identity::{AtprotoData, PlcOperation, RECOVERY_WINDOW_US, tests::CountingRng},
    native::sql::Database,
};

const START_US: i64 = 1_790_000_000_000_123;

struct Directory {
    sql: Database,
    now_us: i64,
}

impl Directory {
    fn new() -> Self {
        let sql = Database::in_memory().unwrap();
        prepare(&sql).unwrap();
        Self { sql, now_us: START_US }
    }

    fn get(&self, path: &str) -> Response {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        handle(&self.sql, self.now_us, &Request { method: "GET", path, query, body: b"" })
    }

    fn json(&self, path: &str) -> serde_json::Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {}", String::from_utf8_lossy(&response.body));
        serde_json::from_slice(&response.body).unwrap()
    }

    fn post(&self, did: &Did, body: &[u8]) -> u16 {
        handle(&self.sql, self.now_us, &Request { method: "POST", path: &format!("/{did}"), query: "", body })
            .status
    }

    fn submit(&self, did: &Did, operation: &Operation) -> u16 {
        self.post(did, operation.to_json().unwrap().as_bytes())
    }
}

fn key(n: u8) -> SigningKey {
    SigningKey::generate(&mut CountingRng(n))
}

fn genesis(handle: &str, rotation_keys: &[&SigningKey], signer: &SigningKey) -> (Did, Operation) {
    let rotation_keys: Vec<String> = rotation_keys.iter().map(|key| key.did_key()).collect();
    let operation = PlcOperation::genesis(&AtprotoData {
        signing_key: &key(100).did_key(),
        rotation_keys: &rotation_keys,
        handle: &handle.parse().unwrap(),
        pds_endpoint: "http://localhost:2583",
    });
    let operation = operation.sign(signer).unwrap();
    (operation.genesis_did().unwrap(), operation)
}

#[test]
fn a_did_lives_and_ends() {
    let directory = Directory::new();
    let key = key(1);
    let (did, first) = genesis("alice.test", &[&key], &key);
    assert_eq!(directory.get(&format!("/{did}")).status, 404);
    assert_eq!(directory.submit(&did, &first), 200);
    assert_eq!(directory.submit(&did, &first), 400, "a repeated first operation");

    let document = directory.json(&format!("/{did}"));
    assert_eq!(document["id"], did.as_str());
    assert_eq!(document["alsoKnownAs"][0], "at://alice.test");
    assert_eq!(document["service"][0]["id"], "#atproto_pds");
    assert_eq!(document["verificationMethod"][0]["id"], format!("{did}#atproto"));
    assert_eq!(directory.json(&format!("/{}/data", did.as_str().replace(':', "%3A")))["did"], did.as_str());

    let mut change = first.successor().unwrap();
    change.set_handle(&"bob.test".parse().unwrap());
    let second = change.sign(&key).unwrap();
    assert_eq!(directory.submit(&did, &second), 200);
    assert_eq!(directory.json(&format!("/{did}/log/last")), serde_json::to_value(&second).unwrap());
    assert_eq!(directory.json(&format!("/{did}/log")).as_array().unwrap().len(), 2);

    let tombstone = second.tombstone().unwrap().sign(&key).unwrap();
    assert_eq!(directory.submit(&did, &tombstone), 200);
    assert_eq!(directory.get(&format!("/{did}")).status, 404);
    assert_eq!(directory.get(&format!("/{did}/data")).status, 404);
    assert_eq!(directory.json(&format!("/{did}/log/last"))["type"], "plc_tombstone");
    let audit = directory.json(&format!("/{did}/log/audit"));
    assert_eq!(audit[0]["createdAt"], format_datetime_ms(START_US));
    assert_eq!(audit[2]["cid"], tombstone.cid().unwrap().to_string());
}

#[test]
fn recovery_nullifies() {
    let mut directory = Directory::new();
    let (strong, weak) = (key(1), key(2));
    let (did, first) = genesis("alice.test", &[&strong, &weak], &weak);
    assert_eq!(directory.submit(&did, &first), 200);
    let theft = first.successor().unwrap().sign(&weak).unwrap();
    assert_eq!(directory.submit(&did, &theft), 200);
    let mut recovery = first.successor().unwrap();
    recovery.set_handle(&"safe.test".parse().unwrap());

    directory.now_us += RECOVERY_WINDOW_US - 1000;
    assert_eq!(directory.submit(&did, &recovery.clone().sign(&weak).unwrap()), 400);
    assert_eq!(directory.submit(&did, &recovery.sign(&strong).unwrap()), 200);
    let audit = directory.json(&format!("/{did}/log/audit"));
    let nullified: Vec<_> =
        audit.as_array().unwrap().iter().map(|entry| entry["nullified"].clone()).collect();
    assert_eq!(nullified, [false, true, false]);
    assert_eq!(directory.json(&format!("/{did}/log")).as_array().unwrap().len(), 2);
    assert_eq!(directory.json(&format!("/{did}/data"))["alsoKnownAs"][0], "at://safe.test");
    let after_theft = theft.successor().unwrap().sign(&weak).unwrap();
    assert_eq!(directory.submit(&did, &after_theft), 400, "follows a nullified operation");
}

#[test]
fn what_is_wrong_is_refused_and_leaves_no_trace() {
    let directory = Directory::new();
    let (key, other) = (key(1), key(2));
    let (did, first) = genesis("alice.test", &[&key], &key);
    let Operation::Plc(plc) = first.clone() else { panic!("made as a plc operation") };
    let signed = |change: &dyn Fn(&mut PlcOperation)| {
        let mut operation = plc.clone();
        change(&mut operation);
        let operation = operation.sign(&key).unwrap();
        (operation.genesis_did().unwrap(), operation)
    };
    let too_big = |operation: &mut PlcOperation| {
        for n in 0..9 {
            let endpoint = "x".repeat(500);
            operation
                .services
                .insert(n.to_string(), crate::identity::PlcService { r#type: "x".to_owned(), endpoint });
        }
    };
    let cases: Vec<(&str, Did, Operation)> = [
        ("bad rotation key", signed(&|o| o.rotation_keys.push("did:key:zabc".to_owned()))),
        ("bad key", signed(&|o| drop(o.verification_methods.insert("x".to_owned(), "zabc".to_owned())))),
        ("same name twice", signed(&|o| o.also_known_as.push("at://alice.test".to_owned()))),
        ("long name", signed(&|o| o.also_known_as.push("x".repeat(259)))),
        ("many names", signed(&|o| o.also_known_as.extend((0..10).map(|n| n.to_string())))),
        ("too big", signed(&too_big)),
        (
            "prev in the first",
            signed(&|o| {
                o.prev = Some("bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a".to_owned())
            }),
        ),
        ("another DID", (genesis("bob.test", &[&key], &key).0, first.clone())),
        ("another signer", genesis("alice.test", &[&key], &other)),
    ]
    .into_iter()
    .map(|(what, (did, operation))| (what, did, operation))
    .collect();
    for (what, did, operation) in &cases {
        assert_eq!(directory.submit(did, operation), 400, "{what}");
        assert_eq!(directory.get(&format!("/{did}/log")).status, 404, "{what}");
    }
    assert_eq!(directory.submit(&did, &first), 200);
    let foreign = first.successor().unwrap().sign(&other).unwrap();
    assert_eq!(directory.submit(&did, &foreign), 400);
    for body in [&b""[..], b"{}", b"null", b"[[[[", b"\xff", &[b'['; 10_000]] {
        assert_eq!(directory.post(&did, body), 400);
    }
    for path in [
        "/did:plc",
        "/",
        "/nothing",
        "/did:plc:a/b/c",
        "//",
        "/%",
        "/%ff",
        "/export?count=0",
        "/export?after=x",
    ] {
        assert!((400..500).contains(&directory.get(path).status), "{path}");
    }
    assert_eq!(directory.json("/_health")["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn export_pages_lose_nothing() {
    let directory = Directory::new();
    let key = key(1);
    for n in 0..7 {
        let (did, operation) = genesis(&format!("agent{n}.test"), &[&key], &key);
        assert_eq!(directory.submit(&did, &operation), 200); // all at the same moment
    }
    for (field, start) in [("createdAt", "1970-01-01T00%3A00%3A00.000Z"), ("seq", "0")] {
        let (mut after, mut seen) = (start.to_owned(), Vec::new());
        loop {
            let page = directory.get(&format!("/export?count=3&after={after}"));
            let text = String::from_utf8(page.body).unwrap();
            let lines: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let Some(last) = lines.last() else { break };
            after = last[field].to_string().trim_matches('"').to_owned();
            seen.extend(lines.iter().map(|line| line["did"].to_string()));
        }
        seen.dedup();
        assert_eq!(seen.len(), 7, "{field}");
    }
    assert_eq!(directory.get("/export").body.split(|byte| *byte == b'\n').count(), 7);
}
