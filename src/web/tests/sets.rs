//! Permission sets: found elsewhere, found here, and in worlds where somebody lies, stalls or changes their mind.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::account::enter;
use super::{CREATE, PASSWORD, SCOPE, World, post_record};
use crate::testing::{Program, Randomness, Simulated, network};
use crate::web::account::paths;

const NSID: &str = "com.example.auth";
const INCLUDE: &str = "atproto include:com.example.auth";
const DNS: &str = "_lexicon.example.com";
const OURS: &str = "did:web:localhost%253A2583%23atproto_pds";

fn set(collections: &[&str]) -> Value {
    let entry = json!({"type": "permission", "resource": "repo", "collection": collections});
    json!({"$type": "com.atproto.lexicon.schema", "lexicon": 1, "id": NSID, "defs": {"main": {"type": "permission-set",
        "title": "Things & more", "detail": "Writes things.", "permissions": [entry]}}})
}

/// Another server, with the same did:plc directory, and an account there that publishes.
struct Elsewhere {
    program: Program,
    did: String,
    token: String,
}

impl Elsewhere {
    async fn new(world: &World) -> Self {
        let mut there = network();
        there.public_url = "https://elsewhere.example".to_owned();
        let host = Simulated::new(there, world.host.internet.beside(), Randomness::default());
        let program = Program::new(&host.start(), "atproto");
        let body = json!({"handle": "lexicons.test", "email": "l@example.com", "password": PASSWORD});
        let made = post(&program, "com.atproto.server.createAccount", "", &body).await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { did: text("did"), token: text("accessJwt"), program }
    }

    /// Another account there.
    async fn other(&self) -> Self {
        let body = json!({"handle": "other.test", "email": "o@example.com", "password": PASSWORD});
        let made = post(&self.program, "com.atproto.server.createAccount", "", &body).await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { did: text("did"), token: text("accessJwt"), program: self.program.beside() }
    }

    async fn publish(&self, record: &Value) {
        publish(&self.program, &self.did, &self.token, record).await;
    }

    fn address(&self) -> String {
        let did = self.did.replace(':', "%3A");
        format!(
            "https://elsewhere.example/xrpc/com.atproto.sync.getRecord?did={did}&collection=com.atproto.lexicon.schema&rkey={NSID}"
        )
    }

    /// What it answers when it is asked for the set.
    async fn proof(&self) -> Bytes {
        let path = self.address().replace("https://elsewhere.example", "");
        let answer = self.program.send_raw(http::Request::get(path)).await;
        assert_eq!(answer.0, StatusCode::OK);
        answer.1
    }

    /// Has the network find what it publishes now.
    async fn serve(&self, world: &World) {
        let proof = self.proof().await;
        serve(world, &self.did, &self.address(), proof);
    }
}

fn serve(world: &World, did: &str, address: &str, proof: Bytes) {
    let internet = &world.host.internet;
    internet.txt.lock().unwrap().insert(DNS.to_owned(), vec!["v=other".to_owned(), format!("did={did}")]);
    internet.documents.lock().unwrap().insert(address.to_owned(), proof);
}

async fn post(program: &Program, nsid: &str, authorization: &str, body: &Value) -> Value {
    let mut request =
        http::Request::post(format!("/xrpc/{nsid}")).header(header::CONTENT_TYPE, "application/json");
    if !authorization.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {authorization}"));
    }
    program.send(request, Body::from(body.to_string())).await.ok()
}

async fn publish(program: &Program, did: &str, token: &str, record: &Value) {
    let body =
        json!({"repo": did, "collection": "com.atproto.lexicon.schema", "rkey": NSID, "record": record});
    post(program, "com.atproto.repo.putRecord", token, &body).await;
}

fn asked(world: &World, address: &str) -> usize {
    world.host.internet.asked.lock().unwrap().iter().filter(|asked| asked.ends_with(address)).count()
}

/// All of it as it should go: the page says whose set it is and what it opens, and the token opens that.
#[tokio::test]
async fn a_set_that_somebody_publishes_opens_what_the_page_says() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world).await;
    elsewhere.publish(&set(&["com.example.thing", "com.other.thing"])).await;
    // One name of another namespace and the whole entry counts for nothing.
    elsewhere.serve(&world).await;
    let mut program = world.program(INCLUDE);
    let tokens = program.tokens(INCLUDE, "alice.test", PASSWORD).await;
    assert_eq!(tokens["scope"], "atproto");
    world.pass(2 * 60 * 60);
    elsewhere.publish(&set(&["com.example.thing"])).await;
    elsewhere.serve(&world).await;

    program.verifier = "x".repeat(43);
    let pushed = program.push(INCLUDE, &[]).await.ok();
    let path = program.page_of(pushed["request_uri"].as_str().unwrap());
    let page = program.open(&path).await;
    program.submit(&page, "sign-in", &[("identifier", "alice.test"), ("password", PASSWORD)]).await;
    let page = program.open(&path).await;
    for part in [
        "“Things &#38; more”, as example.com puts it together",
        "Writes things.",
        "Create, change and delete",
        "<code>com.example.thing</code>",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let answer = program.submit(&page, "allow", &[]).await;
    let code = crate::testing::parameter(answer.header("location"), "code").unwrap();
    let tokens = program.redeem(&code).await.ok();
    assert_eq!(tokens["scope"], "atproto repo:com.example.thing");
    let record = |collection| json!({"repo": tokens["sub"], "collection": collection, "record": {"$type": collection}});
    program.call(Method::POST, CREATE, &tokens, record("com.example.thing")).await.ok();
    let refused =
        program.call(Method::POST, CREATE, &tokens, post_record(&tokens["sub"], "app.bsky.feed.post")).await;
    assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()));
    assert_eq!(asked(&world, &elsewhere.address()), 2, "once an hour");
}

/// What breaks: whoever looks at what they allowed is told a name that says nothing.
#[tokio::test]
async fn what_was_allowed_by_a_set_is_shown_in_words_where_it_is_known() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world).await;
    elsewhere.publish(&set(&["com.example.thing"])).await;
    elsewhere.serve(&world).await;
    world.program(INCLUDE).tokens(INCLUDE, "alice.test", PASSWORD).await;
    let shown = async |app: &Arc<crate::app::App>| {
        let mut browser = Program::new(app, SCOPE);
        enter(&mut browser, "alice.test", PASSWORD).await;
        browser.open(paths::SESSIONS).await.text
    };
    let asked_before = asked(&world, &elsewhere.address());
    let known = shown(&world.app).await;
    for text in
        ["“Things &#38; more”", "Writes things.", "public records of these kinds: com.example.thing", NSID]
    {
        assert!(known.contains(text), "{text}: {known}");
    }
    let unknown = shown(&world.host.start()).await;
    assert!(unknown.contains("not known here just now") && unknown.contains(NSID), "{unknown}");
    assert!(!unknown.contains("Things"), "{unknown}");
    assert_eq!(asked(&world, &elsewhere.address()), asked_before, "a page asks nobody");
}

/// What breaks: what an account of here publishes is asked for outside, where nobody may hear us.
#[tokio::test]
async fn a_set_in_a_repo_of_ours_is_read_here() {
    let world = World::new().await;
    let program = world.program(INCLUDE);
    let body = json!({"identifier": "alice.test", "password": PASSWORD});
    let session = world.post("com.atproto.server.createSession", "", &body).await.ok();
    let did = session["did"].as_str().unwrap();
    world.host.internet.txt.lock().unwrap().insert(DNS.to_owned(), vec![format!("did={did}")]);
    let mut asking = world.program(INCLUDE);
    let missing = asking.push(INCLUDE, &[]).await;
    assert_eq!(missing.error(), (400, "invalid_scope".to_owned()));
    assert!(missing.text.contains("does not publish it"), "{}", missing.text);
    publish(&program, did, session["accessJwt"].as_str().unwrap(), &set(&["com.example.thing"])).await;
    world.pass(61);
    let before = world.host.internet.asked.lock().unwrap().len();
    let tokens = asking.tokens(INCLUDE, "alice.test", PASSWORD).await;
    assert_eq!(tokens["scope"], "atproto repo:com.example.thing");
    assert_eq!(world.host.internet.asked.lock().unwrap().len(), before, "nobody outside was asked");
}

/// What breaks: whoever stands on the way, or somewhere near, says what a set opens.
#[tokio::test]
async fn a_set_that_nobody_shows_to_be_its_publishers_is_refused() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world).await;
    elsewhere.publish(&set(&["com.example.thing"])).await;
    let good = elsewhere.proof().await;
    let mut forged = good.to_vec();
    let at = forged.windows(6).position(|part| part == b"things" || part == b"Writes").unwrap();
    forged[at] ^= 1;
    let refused = async |why: &str, proof: Option<Bytes>| {
        world.pass(61);
        match proof {
            Some(proof) => serve(&world, &elsewhere.did, &elsewhere.address(), proof),
            None => world.host.internet.documents.lock().unwrap().clear(),
        }
        let mut program = world.program(INCLUDE);
        let answer = program.push(INCLUDE, &[]).await;
        assert_eq!(answer.error(), (400, "invalid_scope".to_owned()), "{why}: {}", answer.text);
        assert!(answer.text.contains(why), "{why}: {}", answer.text);
    };
    refused("names no account", None).await;
    refused("CAR", Some(Bytes::from_static(b"{\"uri\":\"at://x\",\"value\":{}}"))).await;
    refused("CAR", Some(forged.into())).await;
    refused("CAR", Some(good.slice(..good.len() - 1))).await;
    refused("connection refused", None).await;
    // Another account of that server signed it.
    let other = elsewhere.other().await;
    other.publish(&set(&["com.example.thing"])).await;
    refused("another account's", Some(other.proof().await)).await;
    for (record, why) in [
        (
            json!({"$type": "com.atproto.lexicon.schema", "lexicon": 1, "id": "com.example.other", "defs": {}}),
            "not its lexicon",
        ),
        (
            json!({"$type": "com.atproto.lexicon.schema", "lexicon": 1, "id": NSID, "defs": {"main": {"type": "token"}}}),
            "no permission set",
        ),
    ] {
        elsewhere.publish(&record).await;
        let proof = elsewhere.proof().await;
        world.pass(60 * 60);
        refused(why, Some(proof)).await;
        world.pass(25 * 60 * 60);
    }
    // Two accounts are none.
    let both = vec![format!("did={}", elsewhere.did), format!("did={}", other.did)];
    world.host.internet.txt.lock().unwrap().insert(DNS.to_owned(), both);
    world.pass(61);
    let mut program = world.program(INCLUDE);
    let answer = program.push(INCLUDE, &[]).await;
    assert!(answer.text.contains("names no account"), "{}", answer.text);
}

/// What breaks: a server that can't be reached is asked with every request, or takes down what it was granted before.
#[tokio::test]
async fn a_set_that_is_gone_leaves_sessions_what_they_had_and_begins_none() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world).await;
    elsewhere.publish(&set(&["com.example.thing"])).await;
    elsewhere.serve(&world).await;
    let mut program = world.program(INCLUDE);
    let tokens = program.tokens(INCLUDE, "alice.test", PASSWORD).await;
    world.host.internet.documents.lock().unwrap().clear();
    world.pass(2 * 60 * 60);
    let tokens = program.refresh(&tokens).await.ok();
    assert_eq!(tokens["scope"], "atproto repo:com.example.thing");
    // For a day, what was found stands in; then nobody begins with it. A process that knows nothing takes the token's word.
    world.pass(25 * 60 * 60);
    let restarted = World { host: Arc::clone(&world.host), app: world.host.start() };
    let mut program = restarted.program(INCLUDE);
    let before = asked(&world, &elsewhere.address());
    let tokens = program.refresh(&tokens).await.ok();
    assert_eq!(tokens["scope"], "atproto repo:com.example.thing");
    assert_eq!(program.push(INCLUDE, &[]).await.error(), (400, "invalid_scope".to_owned()));
    program.refresh(&tokens).await.ok();
    assert_eq!(asked(&world, &elsewhere.address()), before + 1, "once a minute");
}

/// What breaks: a set that has grown since its owner's consent opens another namespace or the vault.
#[tokio::test]
async fn a_set_that_grows_grows_in_its_namespace_with_the_next_tokens() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world).await;
    elsewhere.publish(&set(&["com.example.thing"])).await;
    elsewhere.serve(&world).await;
    let mut program = world.program(INCLUDE);
    let code = program.code(INCLUDE, "alice.test", PASSWORD).await;
    // Between consent and the first tokens: those open what was seen.
    world.pass(50);
    let mut grown = set(&["com.example.thing", "com.example.more"]);
    let vault = json!({"type": "permission", "resource": "rpc", "lxm": ["agent.memory.recall"], "aud": "*"});
    let far = json!({"type": "permission", "resource": "repo", "collection": ["app.bsky.feed.post"]});
    grown["defs"]["main"]["permissions"].as_array_mut().unwrap().extend([vault, far]);
    elsewhere.publish(&grown).await;
    elsewhere.serve(&world).await;
    let tokens = program.redeem(&code).await.ok();
    assert_eq!(tokens["scope"], "atproto repo:com.example.thing");
    world.pass(60 * 60);
    let tokens = program.refresh(&tokens).await.ok();
    let expected = "atproto repo?collection=com.example.more&collection=com.example.thing";
    assert_eq!(tokens["scope"], expected);
    // More than fits: it stays what it was.
    let many: Vec<String> = (0..500).map(|number| format!("com.example.number{number}")).collect();
    elsewhere.publish(&set(&many.iter().map(String::as_str).collect::<Vec<_>>())).await;
    elsewhere.serve(&world).await;
    world.pass(2 * 60 * 60);
    let tokens = program.refresh(&tokens).await.ok();
    assert_eq!(tokens["scope"], expected);
    program.verifier = "x".repeat(43);
    assert_eq!(program.push(INCLUDE, &[]).await.error(), (400, "invalid_scope".to_owned()));
    // Less than before is less.
    elsewhere.publish(&set(&["com.example.more"])).await;
    elsewhere.serve(&world).await;
    world.pass(2 * 60 * 60);
    let tokens = program.refresh(&tokens).await.ok();
    assert_eq!(tokens["scope"], "atproto repo:com.example.more");
}

/// What breaks: whoever owns the domain that the names of the vault's methods come from opens everybody's.
#[tokio::test]
async fn the_vault_is_opened_by_our_own_sets_and_by_nobody_elses() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world).await;
    world
        .host
        .internet
        .txt
        .lock()
        .unwrap()
        .insert("_lexicon.memory.agent".to_owned(), vec![format!("did={}", elsewhere.did)]);
    let scope = format!("atproto include:agent.memory.read?aud={OURS}");
    let mut program = world.program(&scope);
    let tokens = program.tokens(&scope, "alice.test", PASSWORD).await;
    let list = "/xrpc/agent.memory.list";
    program.call(Method::GET, list, &tokens, Value::Null).await.ok();
    let forget = json!({"uris": []});
    let refused = program.call(Method::POST, "/xrpc/agent.memory.forget", &tokens, forget).await;
    assert_eq!(refused.error(), (403, "ScopeMissingError".to_owned()), "it is for reading");
    let tokens = program.refresh(&tokens).await.ok();
    program.call(Method::GET, list, &tokens, Value::Null).await.ok();
    // Without an audience there is none to inherit.
    let bare = "atproto include:agent.memory.read";
    let mut program = world.program(bare);
    program.verifier = "x".repeat(43);
    let tokens = program.tokens(bare, "alice.test", PASSWORD).await;
    assert_eq!(tokens["scope"], "atproto");
    let unknown = "atproto include:agent.memory.everything";
    let refused = world.program(unknown).push(unknown, &[]).await;
    assert_eq!(refused.error(), (400, "invalid_scope".to_owned()));
    assert_eq!(asked(&world, &elsewhere.address()), 0);
}
