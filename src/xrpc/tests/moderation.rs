//! What the operator sees of accounts, sets of them, and takes down.

use serde_json::{Value, json};

use super::world::{ADMIN, Answer, World, bearer};

const UPDATE: &str = "com.atproto.admin.updateSubjectStatus";
const GET: &str = "com.atproto.admin.getSubjectStatus";

/// A person with a post and a picture.
struct Alice {
    did: String,
    own: String,
    uri: String,
    cid: String,
    rkey: String,
    blob: Value,
    blob_cid: String,
}

const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\nno picture";

async fn alice(world: &World) -> Alice {
    let made = world.person("alice").await;
    let (did, own) = (made["did"].as_str().unwrap().to_owned(), bearer(&made["accessJwt"]));
    let blob = world.upload(&own, "image/png", PICTURE).await.ok()["blob"].clone();
    let record = json!({"$type": "com.example.post", "text": "hello", "picture": blob});
    let input = json!({"repo": did, "collection": "com.example.post", "record": record});
    let post = world.post("com.atproto.repo.createRecord", &own, input).await.ok();
    let uri = post["uri"].as_str().unwrap().to_owned();
    Alice {
        did,
        own,
        rkey: uri.rsplit_once('/').unwrap().1.to_owned(),
        cid: post["cid"].as_str().unwrap().to_owned(),
        uri,
        blob_cid: blob["ref"]["$link"].as_str().unwrap().to_owned(),
        blob,
    }
}

async fn take_down(world: &World, subject: &Value, applied: bool) -> Value {
    let takedown =
        if applied { json!({"applied": true, "ref": "case 7"}) } else { json!({"applied": false}) };
    let answer = world.post(UPDATE, ADMIN, json!({"subject": subject, "takedown": takedown})).await.ok();
    assert_eq!(answer, json!({"subject": subject, "takedown": takedown}));
    answer
}

async fn repo(world: &World, did: &str) -> Answer {
    world.get(&format!("com.atproto.sync.getRepo?did={did}"), "").await
}

#[tokio::test]
async fn a_record_that_was_taken_down_is_shown_to_nobody_and_the_repo_stays_whole() {
    let world = World::new();
    let alice = alice(&world).await;
    let subject = json!({"$type": "com.atproto.repo.strongRef", "uri": alice.uri, "cid": alice.cid});
    let get = format!(
        "com.atproto.repo.getRecord?repo={}&collection=com.example.post&rkey={}",
        alice.did, alice.rkey
    );
    let list = format!("com.atproto.repo.listRecords?repo={}&collection=com.example.post", alice.did);
    let proof = format!(
        "com.atproto.sync.getRecord?did={}&collection=com.example.post&rkey={}",
        alice.did, alice.rkey
    );
    let status = format!("{GET}?uri={}", alice.uri);
    assert_eq!(world.get(&status, ADMIN).await.ok()["takedown"], json!({"applied": false}));
    take_down(&world, &subject, true).await;
    for who in ["", alice.own.as_str(), ADMIN] {
        assert_eq!(world.get(&get, who).await.error(), (400, "RecordNotFound"), "{who}");
        assert_eq!(world.get(&list, who).await.ok()["records"], json!([]), "{who}");
    }
    world.get(&proof, "").await.ok();
    repo(&world, &alice.did).await.ok();
    let found = world.get(&status, ADMIN).await.ok();
    assert_eq!(found, json!({"subject": subject, "takedown": {"applied": true, "ref": "case 7"}}));
    // Writing it anew does not bring it back.
    let record = json!({"$type": "com.example.post", "text": "hello again"});
    let put =
        json!({"repo": alice.did, "collection": "com.example.post", "rkey": alice.rkey, "record": record});
    world.post("com.atproto.repo.putRecord", &alice.own, put).await.ok();
    assert_eq!(world.get(&get, "").await.error(), (400, "RecordNotFound"));
    take_down(&world, &subject, false).await;
    assert_eq!(world.get(&get, "").await.ok()["value"]["text"], json!("hello again"));
    assert_eq!(world.get(&list, "").await.ok()["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_blob_that_was_taken_down_is_given_to_nobody_and_not_taken_again() {
    let world = World::new();
    let alice = alice(&world).await;
    let subject =
        json!({"$type": "com.atproto.admin.defs#repoBlobRef", "did": alice.did, "cid": alice.blob_cid});
    let get = format!("com.atproto.sync.getBlob?did={}&cid={}", alice.did, alice.blob_cid);
    let status = format!("{GET}?did={}&blob={}", alice.did, alice.blob_cid);
    world.get(&get, "").await.ok();
    take_down(&world, &subject, true).await;
    for who in ["", alice.own.as_str(), ADMIN] {
        assert_eq!(world.get(&get, who).await.error(), (400, "BlobNotFound"), "{who}");
    }
    assert_eq!(world.upload(&alice.own, "image/png", PICTURE).await.error(), (400, "InvalidRequest"));
    let record = json!({"$type": "com.example.post", "picture": alice.blob});
    let input = json!({"repo": alice.did, "collection": "com.example.post", "record": record});
    let refused = world.post("com.atproto.repo.createRecord", &alice.own, input.clone()).await;
    assert_eq!(refused.error(), (400, "BlobNotFound"));
    let found = world.get(&status, ADMIN).await.ok();
    assert_eq!(found["takedown"], json!({"applied": true, "ref": "case 7"}));
    take_down(&world, &subject, false).await;
    world.get(&get, "").await.ok();
    world.post("com.atproto.repo.createRecord", &alice.own, input).await.ok();
}

#[tokio::test]
async fn an_account_that_was_taken_down_is_closed_to_all_and_comes_back_as_it_was() {
    let world = World::new();
    let alice = alice(&world).await;
    let subject = json!({"$type": "com.atproto.admin.defs#repoRef", "did": alice.did});
    let status = format!("{GET}?did={}", alice.did);
    let none = json!({"subject": subject, "takedown": {"applied": false}, "deactivated": {"applied": false}});
    assert_eq!(world.get(&status, ADMIN).await.ok(), none);
    take_down(&world, &subject, true).await;
    assert_eq!(repo(&world, &alice.did).await.error(), (400, "RepoTakendown"));
    let session = world.get("com.atproto.server.getSession", &alice.own).await;
    assert_eq!(session.error(), (401, "AccountTakedown"));
    let sign_in = json!({"identifier": "alice.test", "password": "correct horse"});
    let refused = world.post("com.atproto.server.createSession", "", sign_in.clone()).await;
    assert_eq!(refused.error(), (401, "AccountTakedown"));
    let said = world.get(&format!("com.atproto.sync.getRepoStatus?did={}", alice.did), "").await.ok();
    assert_eq!((&said["active"], &said["status"]), (&json!(false), &json!("takendown")));
    assert_eq!(world.host.heard(&alice.did).last().unwrap(), "status takendown", "the network is told");
    let found = world.get(&status, ADMIN).await.ok();
    assert_eq!(found["takedown"], json!({"applied": true, "ref": "case 7"}));
    take_down(&world, &subject, false).await;
    repo(&world, &alice.did).await.ok();
    let session = world.post("com.atproto.server.createSession", "", sign_in).await.ok();
    // By the operator, as its owner could.
    let rest = json!({"subject": subject, "deactivated": {"applied": true}});
    world.post(UPDATE, ADMIN, rest).await.ok();
    assert_eq!(repo(&world, &alice.did).await.error(), (400, "RepoDeactivated"));
    assert_eq!(world.get(&status, ADMIN).await.ok()["deactivated"], json!({"applied": true}));
    let wake = json!({"subject": subject, "deactivated": {"applied": false}});
    world.post(UPDATE, ADMIN, wake).await.ok();
    world.get("com.atproto.server.getSession", &bearer(&session["accessJwt"])).await.ok();
}

/// What breaks: who was taken down can neither appeal nor take anything along, or can do more than that.
#[tokio::test]
async fn who_was_taken_down_may_appeal_and_take_their_data_along() {
    let world = World::new();
    let alice = alice(&world).await;
    let subject = json!({"$type": "com.atproto.admin.defs#repoRef", "did": alice.did});
    let sign_in = json!({"identifier": "alice.test", "password": "correct horse", "allowTakendown": true});
    let usual = world.post("com.atproto.server.createSession", "", sign_in.clone()).await.ok();
    assert_eq!(usual["active"], json!(true));
    let named = json!({"name": "an app"});
    let made = world.post("com.atproto.server.createAppPassword", &alice.own, named).await.ok();
    let app_password = made["password"].clone();
    take_down(&world, &subject, true).await;
    let mut wrong = sign_in.clone();
    wrong["password"] = json!("battery staple");
    let wrong = world.post("com.atproto.server.createSession", "", wrong).await;
    assert_eq!(wrong.error(), (401, "AuthenticationRequired"));
    let session = world.post("com.atproto.server.createSession", "", sign_in).await.ok();
    assert_eq!((&session["active"], &session["status"]), (&json!(false), &json!("takendown")));
    let (access, refresh) = (bearer(&session["accessJwt"]), bearer(&session["refreshJwt"]));

    for path in [
        format!("com.atproto.sync.getRepo?did={}", alice.did),
        format!("com.atproto.sync.listBlobs?did={}", alice.did),
        format!("com.atproto.sync.getBlob?did={}&cid={}", alice.did, alice.blob_cid),
        "com.atproto.server.getServiceAuth?aud=did:web:mod.test&lxm=com.atproto.moderation.createReport"
            .to_owned(),
        "com.atproto.server.getServiceAuth?aud=did:web:new.test&lxm=com.atproto.server.createAccount"
            .to_owned(),
        "app.bsky.actor.getPreferences".to_owned(),
    ] {
        assert_eq!(world.get(&path, &access).await.status, 200, "{path}");
        assert_ne!(world.get(&path, "").await.status, 200, "{path}");
    }
    for (path, name) in [
        ("com.atproto.server.getServiceAuth?aud=did:web:api.test", "InvalidRequest"),
        (
            "com.atproto.server.getServiceAuth?aud=did:web:api.test&lxm=app.bsky.feed.getTimeline",
            "InvalidRequest",
        ),
        ("com.atproto.server.getSession", "InvalidToken"),
        ("com.atproto.server.listAppPasswords", "InvalidToken"),
        ("com.atproto.server.checkAccountStatus", "InvalidToken"),
        ("agent.memory.list", "InvalidToken"),
    ] {
        assert_eq!(world.get(path, &access).await.error(), (400, name), "{path}");
    }
    let record = json!({"$type": "com.example.post"});
    let input = json!({"repo": alice.did, "collection": "com.example.post", "record": record});
    let refused = world.post("com.atproto.repo.createRecord", &access, input.clone()).await;
    assert_eq!(refused.error(), (400, "InvalidToken"));
    let renewed = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
    assert_eq!(renewed.error(), (401, "AccountTakedown"));

    let app_password = json!({"identifier": "alice.test", "password": app_password, "allowTakendown": true});
    let refused = world.post("com.atproto.server.createSession", "", app_password.clone()).await;
    assert_eq!(refused.error(), (401, "AccountTakedown"), "it opens no way out while all is well either");

    // It stays what it is when all is well again, and is not renewed.
    take_down(&world, &subject, false).await;
    let refused = world.post("com.atproto.repo.createRecord", &access, input).await;
    assert_eq!(refused.error(), (400, "InvalidToken"));
    let renewed = world.post("com.atproto.server.refreshSession", &refresh, Value::Null).await;
    assert_eq!(renewed.error(), (400, "ExpiredToken"));
    world.post("com.atproto.server.createSession", "", app_password).await.ok();
}

#[tokio::test]
async fn subjects_that_are_none_are_refused() {
    let world = World::new();
    let alice = alice(&world).await;
    let nobody = "did:plc:nobody";
    let unknown = bafy_of_nothing();
    for path in [
        format!("{GET}?did={nobody}"),
        format!("{GET}?uri=at://{}/com.example.post/nothing", alice.did),
        format!("{GET}?uri=at://{nobody}/com.example.post/nothing"),
        format!("{GET}?did={}&blob={unknown}", alice.did),
    ] {
        assert_eq!(world.get(&path, ADMIN).await.error(), (400, "NotFound"), "{path}");
    }
    for path in [GET.to_owned(), format!("{GET}?blob={unknown}"), format!("{GET}?uri=at://{}", alice.did)] {
        assert_eq!(world.get(&path, ADMIN).await.error(), (400, "InvalidRequest"), "{path}");
    }
    for subject in [
        json!({"$type": "com.example.else", "did": alice.did}),
        json!({"did": alice.did}),
        json!({"$type": "com.atproto.admin.defs#repoBlobRef", "did": alice.did, "cid": "nonsense"}),
    ] {
        let input = json!({"subject": subject, "takedown": {"applied": true}});
        assert_eq!(world.post(UPDATE, ADMIN, input).await.error(), (400, "InvalidRequest"), "{subject}");
    }
    let both = json!({
        "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": alice.did},
        "takedown": {"applied": true}, "deactivated": {"applied": false},
    });
    assert_eq!(world.post(UPDATE, ADMIN, both).await.error(), (400, "InvalidRequest"));
    repo(&world, &alice.did).await.ok();
}

fn bafy_of_nothing() -> &'static str {
    "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
}

#[tokio::test]
async fn the_operator_sees_and_finds_accounts_with_their_invites() {
    let world = World::new();
    let admin = async |nsid: &str, input: Value| world.post(nsid, ADMIN, input).await;
    let alice = world.person("alice").await;
    let made = admin(
        "com.atproto.server.createInviteCodes",
        json!({"codeCount": 2, "useCount": 2, "forAccounts": [alice["did"]]}),
    );
    let codes = made.await.ok()["codes"][0]["codes"].clone();
    let bob = json!({
        "handle": "bob.test", "email": "bob@example.net", "password": "correct horse", "inviteCode": codes[0],
    });
    let bob = world.post("com.atproto.server.createAccount", "", bob).await.ok();
    let did = bob["did"].as_str().unwrap();
    let info = world.get(&format!("com.atproto.admin.getAccountInfo?did={did}"), ADMIN).await.ok();
    assert_eq!((&info["handle"], &info["email"]), (&json!("bob.test"), &json!("bob@example.net")));
    assert_eq!(info["invitedBy"]["code"], codes[0]);
    assert_eq!(info["invitedBy"]["uses"][0]["usedBy"], bob["did"]);
    assert_eq!((&info["invites"], &info["invitesDisabled"]), (&json!([]), &json!(false)));
    assert_eq!((&info["status"], &info["kind"]), (&json!("active"), &json!("person")));
    let missing = world.get("com.atproto.admin.getAccountInfo?did=did:plc:nobody", ADMIN).await;
    assert_eq!(missing.error(), (400, "NotFound"));
    let path = format!(
        "com.atproto.admin.getAccountInfos?dids={did}&dids=did:plc:nobody&dids={}",
        alice["did"].as_str().unwrap()
    );
    let infos = world.get(&path, ADMIN).await.ok()["infos"].clone();
    assert_eq!(infos.as_array().unwrap().len(), 2);
    assert_eq!(infos[1]["invites"].as_array().unwrap().len(), 2);

    let search =
        async |query: &str| world.get(&format!("com.atproto.admin.searchAccounts?{query}"), ADMIN).await.ok();
    let found = search("email=EXAMPLE.net").await;
    assert_eq!(found["accounts"][0]["did"], bob["did"]);
    assert_eq!((found["accounts"].as_array().unwrap().len(), &found["cursor"]), (1, &Value::Null));
    let first = search("limit=1").await;
    let rest = search(&format!("limit=1&cursor={}", first["cursor"].as_str().unwrap())).await;
    assert_eq!((&first["accounts"][0]["did"], &rest["accounts"][0]["did"]), (&alice["did"], &bob["did"]));

    // Given no more codes, and what was given stays good until it is withdrawn.
    admin("com.atproto.admin.disableAccountInvites", json!({"account": alice["did"]})).await.ok();
    let more = json!({"useCount": 1, "forAccount": alice["did"]});
    admin("com.atproto.server.createInviteCode", more).await.ok();
    let own = bearer(&alice["accessJwt"]);
    let mine =
        async || world.get("com.atproto.server.getAccountInviteCodes", &own).await.ok()["codes"].clone();
    assert_eq!(mine().await.as_array().unwrap().len(), 2);
    let page =
        async |query: &str| world.get(&format!("com.atproto.admin.getInviteCodes?{query}"), ADMIN).await.ok();
    let used = page("sort=usage&limit=1").await;
    assert_eq!(used["codes"][0]["code"], codes[0]);
    let next = page(&format!("sort=usage&cursor={}", used["cursor"].as_str().unwrap())).await;
    assert_eq!(next["codes"].as_array().unwrap().len(), 2);
    let newest = page("limit=2").await;
    assert_eq!(newest["codes"][0]["disabled"], json!(true));
    let oldest = page(&format!("cursor={}", newest["cursor"].as_str().unwrap())).await;
    assert_eq!(oldest["codes"].as_array().unwrap().len(), 1);
    let unknown = world.get("com.atproto.admin.getInviteCodes?sort=age", ADMIN).await;
    assert_eq!(unknown.error(), (400, "InvalidRequest"));

    admin("com.atproto.admin.disableInviteCodes", json!({"codes": [codes[1]]})).await.ok();
    assert_eq!(mine().await.as_array().unwrap().len(), 1);
    admin("com.atproto.admin.disableInviteCodes", json!({"accounts": [alice["did"]]})).await.ok();
    assert_eq!(mine().await, json!([]));
    let refused = admin("com.atproto.admin.disableInviteCodes", json!({"accounts": ["admin"]})).await;
    assert_eq!(refused.error(), (400, "InvalidRequest"));
    admin("com.atproto.admin.enableAccountInvites", json!({"account": alice["did"]})).await.ok();
    let more = json!({"useCount": 1, "forAccount": alice["did"]});
    admin("com.atproto.server.createInviteCode", more).await.ok();
    assert_eq!(mine().await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_operator_sets_what_an_account_is_called_reached_and_opened_by() {
    let world = World::new();
    let made = world.person("alice").await;
    let did = made["did"].as_str().unwrap();
    let admin = async |nsid: &str, input: Value| world.post(nsid, ADMIN, input).await;
    admin("com.atproto.admin.updateAccountHandle", json!({"did": did, "handle": "support.test"})).await.ok();
    assert_eq!(world.host.document(did)["alsoKnownAs"], json!(["at://support.test"]), "a reserved one too");
    admin("com.atproto.admin.updateAccountEmail", json!({"account": did, "email": "a@example.net"}))
        .await
        .ok();
    let info = world.get(&format!("com.atproto.admin.getAccountInfo?did={did}"), ADMIN).await.ok();
    assert_eq!((&info["email"], &info["emailConfirmedAt"]), (&json!("a@example.net"), &Value::Null));
    let (to, ..) = world.mails().await.pop().unwrap();
    assert_eq!(to, "alice@example.com", "the old address is told");
    admin("com.atproto.admin.updateAccountPassword", json!({"did": did, "password": "battery staple"}))
        .await
        .ok();
    let old = world.get("com.atproto.server.getSession", &bearer(&made["accessJwt"])).await;
    assert_eq!(old.error(), (400, "ExpiredToken"));
    let sign_in = json!({"identifier": did, "password": "battery staple"});
    world.post("com.atproto.server.createSession", "", sign_in).await.ok();

    let letter = json!({"recipientDid": did, "senderDid": did, "content": "<p>Hello</p>", "subject": "News"});
    assert_eq!(admin("com.atproto.admin.sendEmail", letter).await.ok(), json!({"sent": true}));
    let (to, subject, text) = world.mails().await.pop().unwrap();
    assert_eq!((&*to, &*subject), ("a@example.net", "News"));
    assert!(text.starts_with("Hello"), "{text}");
    let injected = json!({"recipientDid": did, "content": "x", "subject": "a\r\nBcc: eve@example.com"});
    let refused = admin("com.atproto.admin.sendEmail", injected).await;
    assert_eq!(refused.error(), (400, "InvalidRequest"));

    let revoke = "com.atproto.temp.revokeAccountCredentials";
    admin(revoke, json!({"account": did})).await.ok();
    let sign_in = json!({"identifier": did, "password": "battery staple"});
    let refused = world.post("com.atproto.server.createSession", "", sign_in).await;
    assert_eq!(refused.error(), (401, "AuthenticationRequired"));
    assert_eq!(admin(revoke, json!({"account": "did:plc:nobody"})).await.error(), (400, "AccountNotFound"));
}

/// What breaks: the admin token, which opens nobody's memories, sets a password that does.
#[tokio::test]
async fn the_operator_sets_nothing_that_opens_memories() {
    let world = World::new();
    let agent = world.post("agent.admin.createAgent", ADMIN, json!({"name": "bob"})).await.ok();
    let person = world.person("alice").await;
    let memory = json!({"memory": {"$type": "agent.memory.note", "summary": "tea at four"}});
    world.post("agent.memory.remember", &bearer(&person["accessJwt"]), memory).await.ok();
    for did in [&agent["did"], &person["did"]] {
        for (nsid, input) in [
            ("com.atproto.admin.updateAccountPassword", json!({"did": did, "password": "battery staple"})),
            ("com.atproto.admin.updateAccountEmail", json!({"account": did, "email": "eve@example.com"})),
        ] {
            assert_eq!(world.post(nsid, ADMIN, input).await.error(), (403, "Forbidden"), "{nsid} of {did}");
        }
    }
    world.get("agent.memory.recall?q=tea", &bearer(&person["accessJwt"])).await.ok();
}
