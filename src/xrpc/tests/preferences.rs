//! What an account's owner sets in apps.

use serde_json::{Value, json};

use super::world::{World, bearer};

const GET: &str = "app.bsky.actor.getPreferences";
const PUT: &str = "app.bsky.actor.putPreferences";
const DETAILS: &str = "app.bsky.actor.defs#personalDetailsPref";

async fn app_password(world: &World, own: &str) -> String {
    let made = world.post("com.atproto.server.createAppPassword", own, json!({"name": "app"})).await.ok();
    let sign_in = json!({"identifier": "alice.test", "password": made["password"]});
    bearer(&world.post("com.atproto.server.createSession", "", sign_in).await.ok()["accessJwt"])
}

fn muted(word: &str) -> Value {
    json!({"$type": "app.bsky.actor.defs#mutedWordsPref", "items": [{"value": word, "targets": ["content"]}]})
}

#[tokio::test]
async fn an_app_sees_and_sets_all_but_personal_details() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    let app = app_password(&world, &own).await;
    let get = async |who: &str| world.get(GET, who).await.ok()["preferences"].clone();
    let put =
        async |who: &str, preferences: Value| world.post(PUT, who, json!({"preferences": preferences})).await;
    assert_eq!(get(&own).await, json!([]));
    let details = json!({"$type": DETAILS, "birthDate": "1990-05-01T00:00:00.000Z"});
    put(&own, json!([muted("tea"), details])).await.ok();
    let age = json!({
        "$type": "app.bsky.actor.defs#declaredAgePref",
        "isOverAge13": true, "isOverAge16": true, "isOverAge18": true,
    });
    assert_eq!(get(&own).await, json!([muted("tea"), details, age]));
    assert_eq!(get(&app).await, json!([muted("tea"), age]));
    // What it does not see it leaves alone; what is told and not kept it may send back.
    put(&app, json!([muted("coffee"), age])).await.ok();
    assert_eq!(get(&own).await, json!([details, muted("coffee"), age]));
    assert_eq!(put(&app, json!([details])).await.error(), (400, "InvalidRequest"));
    let status = world.get("com.atproto.server.checkAccountStatus", &own).await.ok();
    assert_eq!(status["privateStateValues"], json!(2));
    put(&own, json!([])).await.ok();
    assert_eq!(get(&own).await, json!([]));
}

#[tokio::test]
async fn preferences_that_are_none_change_nothing() {
    let world = World::new();
    let own = bearer(&world.person("alice").await["accessJwt"]);
    world.post(PUT, &own, json!({"preferences": [muted("tea")]})).await.ok();
    for wrong in [
        json!([{"birthDate": "1990-05-01"}]),
        json!(["tea"]),
        json!([muted("coffee"), {"$type": "com.example.pref"}]),
        json!([{"$type": "app.bskyx.pref"}]),
        json!({"a": 1}),
    ] {
        let refused = world.post(PUT, &own, json!({"preferences": wrong})).await;
        assert_eq!(refused.error(), (400, "InvalidRequest"), "{wrong}");
    }
    let large = json!([{"$type": "app.bsky.actor.defs#x", "text": "a".repeat(200_000)}]);
    let refused = world.post(PUT, &own, json!({"preferences": large})).await;
    assert_eq!(refused.status.as_u16(), 413);
    assert_eq!(world.get(GET, &own).await.ok()["preferences"], json!([muted("tea")]));
    let stranger = bearer(&world.person("bob").await["accessJwt"]);
    assert_eq!(world.get(GET, &stranger).await.ok()["preferences"], json!([]));
}

/// What breaks: whoever has the database reads what somebody does not want to see, and when they were born.
#[tokio::test]
async fn preferences_rest_sealed_and_outlive_a_restart() {
    let world = World::new();
    let made = world.person("alice").await;
    let own = bearer(&made["accessJwt"]);
    world.post(PUT, &own, json!({"preferences": [muted("marzipan")]})).await.ok();
    {
        let cells = world.host.cells.lock().unwrap();
        let disk = &cells.values().next().unwrap().disk;
        let sealed = "SELECT sealed FROM preferences";
        let sealed = crate::store::query_first(disk, sealed, &[], |row| Ok(row.blob(0)?.to_vec()));
        assert!(memchr::memmem::find(&sealed.unwrap().unwrap(), b"marzipan").is_none());
    }
    let world = world.restarted();
    assert_eq!(world.get(GET, &own).await.ok()["preferences"], json!([muted("marzipan")]));
}
