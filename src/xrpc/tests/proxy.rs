//! Calls that go on to another service, and what the caller wrote in what comes back.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::{Value, json};

use super::world::{ADMIN, Answer, World, answer, bearer};
use crate::config::{Service, Services};
use crate::crypto::{VerifyingKey, jwt};
use crate::identity::DidDocument;
use crate::syntax::Did;

const APPVIEW: &str = "https://appview.test";
const APPVIEW_DID: &str = "did:web:appview.test";
const TIMELINE: &str = "app.bsky.feed.getTimeline";

type Asked = Arc<Mutex<Vec<Request<Bytes>>>>;

fn service(url: &str, did: &str) -> Option<Service> {
    Some(Service { did: Did::try_from(did).unwrap(), url: url.to_owned() })
}

/// A world with an app view that answers so, and what that was asked.
fn world(answers: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + 'static) -> (World, Asked) {
    let world = World::new();
    let asked = Asked::default();
    let heard = Arc::clone(&asked);
    *world.host.services.lock().unwrap() = Services {
        appview: service(APPVIEW, APPVIEW_DID),
        moderation: service("https://ozone.test", "did:web:ozone.test"),
        reports: service("https://reports.test", "did:web:reports.test"),
    };
    *world.host.internet.service.lock().unwrap() = Some(Box::new(move |request| {
        heard.lock().unwrap().push(request.clone());
        answers(request)
    }));
    (world.restarted(), asked)
}

fn json_answer(body: &Value) -> Response<Bytes> {
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    answer.body(body.to_string().into()).unwrap()
}

/// The claims of a token that the account's own key signed, as its document has it.
fn claims(world: &World, did: &str, request: &Request<Bytes>) -> Value {
    let token = request.headers()[header::AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let document: DidDocument = serde_json::from_value(world.host.document(did)).unwrap();
    let key: VerifyingKey = document.signing_key().unwrap();
    let now_seconds = world.app.host.now_us() / 1_000_000;
    jwt::Unverified::parse(token).unwrap().verify(&key, now_seconds).unwrap()
}

async fn send(
    world: &World,
    path: &str,
    authorization: &str,
    headers: &[(&str, &str)],
) -> Response<axum::body::Body> {
    let mut request = Request::get(format!("/xrpc/{path}")).header(header::AUTHORIZATION, authorization);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let nsid = path.split('?').next().unwrap();
    world.dispatcher.dispatch(nsid, request.body(axum::body::Body::empty()).unwrap()).await
}

async fn read(response: Response<axum::body::Body>) -> Answer {
    answer(response).await
}

#[tokio::test]
async fn a_call_goes_on_in_the_callers_name_with_what_is_listed_and_no_more() {
    let (world, asked) = world(|_| {
        let mut answer = json_answer(&json!({"feed": []}));
        for (name, value) in
            [("atproto-repo-rev", "3zzzzzzzzzzzz"), ("set-cookie", "a=b"), ("x-atproto-x", "1")]
        {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    });
    let alice = world.person("alice").await;
    let (did, token) = (alice["did"].as_str().unwrap(), bearer(&alice["accessJwt"]));
    let headers = [
        ("accept-language", "de"),
        ("atproto-accept-labelers", "did:plc:labeler"),
        ("x-bsky-topics", "tea"),
        ("x-atproto-trace", "7"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let answer = send(&world, &format!("{TIMELINE}?limit=3&cursor=a%20b"), &token, &headers).await;
    let brought: Vec<_> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
    assert!(
        brought.contains(&"x-atproto-x".to_owned()) && !brought.contains(&"set-cookie".to_owned()),
        "{brought:?}"
    );
    assert_eq!(read(answer).await.ok(), json!({"feed": []}));
    let asked = asked.lock().unwrap();
    let request = asked.last().unwrap();
    assert_eq!(request.uri().to_string(), format!("{APPVIEW}/xrpc/{TIMELINE}?limit=3&cursor=a%20b"));
    let mut names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "accept-encoding",
        "accept-language",
        "atproto-accept-labelers",
        "authorization",
        "x-atproto-trace",
        "x-bsky-topics",
    ];
    assert_eq!(names, expected);
    let claims = claims(&world, did, request);
    assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(did), Some(APPVIEW_DID)));
    assert_eq!(claims["lxm"], TIMELINE);
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() == 32));
    assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() == 60);
}

#[tokio::test]
async fn calls_go_where_they_belong() {
    let (world, asked) = world(|_| json_answer(&json!({})));
    let alice = world.person("alice").await;
    let token = bearer(&alice["accessJwt"]);
    for (nsid, origin) in [
        ("app.bsky.feed.getLikes", APPVIEW),
        ("com.example.anything", APPVIEW),
        ("tools.ozone.moderation.queryEvents", "https://ozone.test"),
    ] {
        world.get(nsid, &token).await.ok();
        assert!(asked.lock().unwrap().last().unwrap().uri().to_string().starts_with(origin), "{nsid}");
    }
    world.post("com.atproto.moderation.createReport", &token, json!({"reasonType": "spam"})).await.ok();
    {
        let asked = asked.lock().unwrap();
        let report = asked.last().unwrap();
        assert!(report.uri().to_string().starts_with("https://reports.test/xrpc/"));
        assert_eq!(report.body(), r#"{"reasonType":"spam"}"#);
        assert_eq!(report.headers()[header::CONTENT_TYPE], "application/json");
    }
    // Somebody's service, as its document has it.
    let chat = json!({"id": "did:web:chat.test", "service":
        [{"id": "#bsky_chat", "type": "BskyChatService", "serviceEndpoint": "https://api.chat.test/"}]});
    let document = "https://chat.test/.well-known/did.json".to_owned();
    world.host.internet.documents.lock().unwrap().insert(document, chat.to_string().into());
    let named = [("atproto-proxy", "did:web:chat.test#bsky_chat")];
    read(send(&world, "chat.bsky.convo.getLog", &token, &named).await).await.ok();
    let asked = asked.lock().unwrap();
    let request = asked.last().unwrap();
    assert_eq!(request.uri(), "https://api.chat.test/xrpc/chat.bsky.convo.getLog");
    assert_eq!(claims(&world, alice["did"].as_str().unwrap(), request)["aud"], "did:web:chat.test");
}

#[tokio::test]
async fn what_may_not_go_on_asks_nobody() {
    let (world, asked) = world(|_| json_answer(&json!({})));
    let alice = world.person("alice").await;
    let own = bearer(&alice["accessJwt"]);
    let made = world.post("com.atproto.server.createAppPassword", &own, json!({"name": "plain"})).await.ok();
    let login = json!({"identifier": "alice.test", "password": made["password"]});
    let plain = bearer(&world.post("com.atproto.server.createSession", "", login).await.ok()["accessJwt"]);
    let proxy = |service: &'static str| [("atproto-proxy", service)];
    let appview = proxy("did:web:appview.test#bsky_appview");
    let nobody = proxy("did:web:nobody.test#bsky_appview");
    for (path, token, headers, expected) in [
        (TIMELINE, "", &[][..], (401, "AuthMissing")),
        (TIMELINE, "Bearer nonsense", &[][..], (400, "InvalidToken")),
        (TIMELINE, ADMIN, &[][..], (403, "Forbidden")),
        ("chat.bsky.convo.getLog", own.as_str(), &[][..], (501, "MethodNotImplemented")),
        ("agent.unheard.of", own.as_str(), &[][..], (501, "MethodNotImplemented")),
        ("chat.bsky.convo.getLog", plain.as_str(), &appview[..], (400, "InvalidToken")),
        // Written as nobody answers it here.
        ("com.atproto.SERVER.requestEmailUpdate", own.as_str(), &appview[..], (400, "InvalidToken")),
        ("com.atproto.SERVER.requestEmailUpdate", own.as_str(), &[][..], (501, "MethodNotImplemented")),
        (TIMELINE, own.as_str(), &proxy("did:web:appview.test")[..], (400, "InvalidRequest")),
        ("no-nsid", own.as_str(), &[][..], (404, "InvalidRequest")),
    ] {
        let answer = read(send(&world, path, token, headers).await).await;
        assert_eq!(answer.error(), expected, "{path} {headers:?} {}", answer.body);
    }
    assert!(asked.lock().unwrap().is_empty());
    // A service that is nowhere.
    world.host.internet.service.lock().unwrap().take();
    let answer = read(send(&world, TIMELINE, &own, &nobody).await).await;
    assert_eq!(answer.error(), (502, "UpstreamFailure"), "{}", answer.body);
    let document = json!({"id": "did:web:nobody.test", "service": []}).to_string();
    let place = "https://nobody.test/.well-known/did.json".to_owned();
    world.host.internet.documents.lock().unwrap().insert(place, document.into());
    let answer = read(send(&world, TIMELINE, &own, &nobody).await).await;
    assert_eq!(answer.error(), (400, "InvalidRequest"), "{}", answer.body);
    assert_eq!(read(send(&world, TIMELINE, &own, &[]).await).await.error(), (502, "UpstreamFailure"));
}

#[tokio::test]
async fn a_services_error_comes_back_and_its_failure_is_one_of_a_service() {
    for (status, body, expected) in [
        (400, r#"{"error":"BadCursor","message":"no"}"#, (400, "BadCursor")),
        (500, r#"{"error":"InternalServerError"}"#, (502, "InternalServerError")),
        (503, "<html>", (503, "")),
    ] {
        let (world, _) = world(move |_| {
            let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
            answer.body(body.into()).unwrap()
        });
        let token = bearer(&world.person("alice").await["accessJwt"]);
        assert_eq!(world.get("app.bsky.feed.getLikes", &token).await.error(), expected);
    }
}

#[tokio::test]
async fn a_feed_is_asked_for_in_a_token_for_who_makes_it() {
    let (world, asked) = world(|request| match request.uri().path() {
        "/xrpc/com.atproto.repo.getRecord" => json_answer(&json!({"value": {"did": "did:web:feed.test"}})),
        _ => json_answer(&json!({"feed": []})),
    });
    let alice = world.person("alice").await;
    let feed = "app.bsky.feed.getFeed?feed=at://did:plc:maker/app.bsky.feed.generator/tea";
    world.get(feed, &bearer(&alice["accessJwt"])).await.ok();
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked[0].uri().query(),
        Some("repo=did%3Aplc%3Amaker&collection=app.bsky.feed.generator&rkey=tea")
    );
    assert!(!asked[0].headers().contains_key(header::AUTHORIZATION));
    let claims = claims(&world, alice["did"].as_str().unwrap(), &asked[1]);
    assert_eq!(
        (&claims["aud"], &claims["lxm"]),
        (&json!("did:web:feed.test"), &json!("app.bsky.feed.getFeedSkeleton"))
    );
}

/// Creates a record; its URI and rev.
async fn create(world: &World, alice: &Value, collection: &str, record: Value) -> (String, String) {
    let input = json!({"repo": alice["did"], "collection": collection, "record": record});
    world.host.now_us.fetch_add(1_000_000, std::sync::atomic::Ordering::Relaxed);
    let made = world.post("com.atproto.repo.createRecord", &bearer(&alice["accessJwt"]), input).await.ok();
    (made["uri"].as_str().unwrap().to_owned(), made["commit"]["rev"].as_str().unwrap().to_owned())
}

fn post(text: &str) -> Value {
    json!({"$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-01T00:00:00.000Z"})
}

/// An app view that knows the repo up to a rev and answers a method so.
fn behind(
    answers: Arc<Mutex<(String, Value)>>,
) -> impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + 'static {
    move |_| {
        let (rev, body) = &*answers.lock().unwrap();
        let mut answer = json_answer(body);
        if body.get("error").is_some() {
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
        }
        answer.headers_mut().insert("atproto-repo-rev", rev.parse().unwrap());
        answer
    }
}

#[tokio::test]
async fn who_wrote_sees_it_before_the_app_view_has() {
    let answers = Arc::new(Mutex::new((String::new(), Value::Null)));
    let (world, _) = world(behind(Arc::clone(&answers)));
    let alice = world.person("alice").await;
    let (did, token) = (alice["did"].clone(), bearer(&alice["accessJwt"]));
    let (old, rev) = create(&world, &alice, "app.bsky.feed.post", post("old")).await;
    let (new, _) = create(&world, &alice, "app.bsky.feed.post", post("new")).await;
    let theirs = "at://did:plc:bob/app.bsky.feed.post/3jzfcijpj2z2a";
    let subject =
        json!({"uri": theirs, "cid": "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae"});
    let like =
        json!({"$type": "app.bsky.feed.like", "subject": subject, "createdAt": "2026-01-01T00:00:00.000Z"});
    let (like, _) = create(&world, &alice, "app.bsky.feed.like", like).await;
    let follow = json!({"$type": "app.bsky.graph.follow", "subject": "did:plc:bob", "createdAt": "2026-01-01T00:00:00.000Z"});
    let (follow, _) = create(&world, &alice, "app.bsky.graph.follow", follow).await;
    let profile = json!({"$type": "app.bsky.actor.profile", "displayName": "Alice", "description": "tea"});
    let input =
        json!({"repo": did, "collection": "app.bsky.actor.profile", "rkey": "self", "record": profile});
    world.post("com.atproto.repo.putRecord", &token, input).await.ok();

    let view = |uri: &str, author: &Value, at: &str| json!({"uri": uri, "cid": "c", "author": {"did": author, "handle": "x.test"}, "record": {}, "likeCount": 3, "indexedAt": at});
    let ask = async |path: &str, body: Value| {
        *answers.lock().unwrap() = (rev.clone(), body);
        let answer = send(&world, path, &token, &[]).await;
        let lag = answer.headers().get("atproto-upstream-lag").is_some();
        let answer = read(answer).await;
        assert_eq!(lag, answer.status == 200);
        answer.ok()
    };
    let feed = json!({"feed": [
        {"post": view(theirs, &json!("did:plc:bob"), "2026-01-02T00:00:00.000Z")},
        {"post": view(&old, &did, "2026-01-01T00:00:00.000Z")},
    ]});
    let timeline = ask(TIMELINE, feed.clone()).await;
    let uris: Vec<_> =
        timeline["feed"].as_array().unwrap().iter().map(|item| item["post"]["uri"].clone()).collect();
    assert_eq!(uris, [json!(new), json!(theirs), json!(old)]);
    let first = &timeline["feed"][0]["post"];
    assert_eq!((&first["author"]["displayName"], &first["record"]["text"]), (&json!("Alice"), &json!("new")));
    assert_eq!(timeline["feed"][1]["post"]["viewer"]["like"], json!(like));
    assert_eq!(timeline["feed"][1]["post"]["likeCount"], 4);
    assert_eq!(timeline["feed"][2]["post"]["author"]["displayName"], "Alice");

    let theirs_first = ask("app.bsky.feed.getAuthorFeed?actor=bob.test", feed.clone()).await;
    assert_eq!(theirs_first["feed"].as_array().unwrap().len(), 2, "another's feed has none of ours");
    let own = json!({"feed": [{"post": view(&old, &did, "2026-01-01T00:00:00.000Z")}]});
    let own = ask("app.bsky.feed.getAuthorFeed?actor=alice.test", own).await;
    assert_eq!(own["feed"][0]["post"]["uri"], json!(new));

    let me = ask("app.bsky.actor.getProfile?actor=alice.test", json!({"did": did, "postsCount": 1})).await;
    assert_eq!(
        (&me["description"], &me["postsCount"], &me["followsCount"]),
        (&json!("tea"), &json!(2), &json!(1))
    );
    let bob =
        ask("app.bsky.actor.getProfile?actor=bob.test", json!({"did": "did:plc:bob", "followersCount": 7}))
            .await;
    assert_eq!((&bob["viewer"]["following"], &bob["followersCount"]), (&json!(follow), &json!(8)));

    let posts = ask(&format!("app.bsky.feed.getPosts?uris={new}"), json!({"posts": []})).await;
    assert_eq!(posts["posts"][0]["uri"], json!(new));
    let missing = json!({"error": "NotFound", "message": "Post not found"});
    let thread = ask(&format!("app.bsky.feed.getPostThread?uri={new}"), missing.clone()).await;
    assert_eq!(thread["thread"]["post"]["record"]["text"], "new");
    // What is nobody's stays missing.
    let path = "app.bsky.feed.getPostThread?uri=at://did:plc:bob/app.bsky.feed.post/3jzfcijpj2z2b";
    *answers.lock().unwrap() = (rev.clone(), missing);
    assert_eq!(read(send(&world, path, &token, &[]).await).await.error(), (400, "NotFound"));
}

#[tokio::test]
async fn a_reply_stands_below_what_it_answers() {
    let answers = Arc::new(Mutex::new((String::new(), Value::Null)));
    let (world, _) = world(behind(Arc::clone(&answers)));
    let alice = world.person("alice").await;
    let (root, rev) = create(&world, &alice, "app.bsky.feed.post", post("root")).await;
    let cid = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";
    let reply = |parent: &str| {
        let mut reply = post("reply");
        reply["reply"] = json!({"root": {"uri": root, "cid": cid}, "parent": {"uri": parent, "cid": cid}});
        reply
    };
    let (first, _) = create(&world, &alice, "app.bsky.feed.post", reply(&root)).await;
    let (second, _) = create(&world, &alice, "app.bsky.feed.post", reply(&first)).await;
    let thread = json!({"thread": {"$type": "app.bsky.feed.defs#threadViewPost",
        "post": {"uri": root, "author": {"did": alice["did"]}, "record": post("root")}}});
    *answers.lock().unwrap() = (rev, thread);
    let path = format!("app.bsky.feed.getPostThread?uri={root}");
    let answer = world.get(&path, &bearer(&alice["accessJwt"])).await.ok();
    assert_eq!(answer["thread"]["replies"][0]["post"]["uri"], json!(first));
    assert_eq!(answer["thread"]["replies"][0]["replies"][0]["post"]["uri"], json!(second));
}

/// What breaks: an answer that is not as expected is lost, or put together anew as something else.
#[tokio::test]
async fn what_can_not_be_read_goes_on_as_it_came() {
    let answers = Arc::new(Mutex::new((String::new(), Value::Null)));
    let (world, _) = world(behind(Arc::clone(&answers)));
    let alice = world.person("alice").await;
    let (_, rev) = create(&world, &alice, "app.bsky.feed.post", post("old")).await;
    create(&world, &alice, "app.bsky.feed.post", post("new")).await;
    let token = bearer(&alice["accessJwt"]);
    let large = json!({"feed": [], "pad": "x".repeat(crate::limits::READ_AFTER_WRITE_BYTES_MAX)});
    for body in [json!({"feed": "none"}), json!([]), json!("text"), large] {
        *answers.lock().unwrap() = (rev.clone(), body.clone());
        assert_eq!(world.get(TIMELINE, &token).await.ok(), body);
    }
    // Of another life of the repo: nothing is known to be new.
    *answers.lock().unwrap() = ("2222222222222".to_owned(), json!({"feed": []}));
    assert_eq!(world.get(TIMELINE, &token).await.ok(), json!({"feed": []}));
}
