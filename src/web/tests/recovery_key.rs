//! A key of the owner's own over the account's DID.

use super::account::{done, send, wrong};
use super::{PASSWORD, World};
use crate::crypto::SigningKey;
use crate::testing::between;
use crate::web::account::paths;

/// What breaks: a server that is gone, or has turned against its people, keeps their names.
#[tokio::test]
async fn an_owner_puts_a_key_above_this_servers_with_the_password() {
    let world = World::new().await;
    let mut browser = world.browser("alice.test", PASSWORD).await;
    let home = browser.open(paths::ACCOUNT).await;
    let did = format!("did:{}", between(&home.text, "<dd>did:", "<").unwrap()).parse().unwrap();
    let [ours] = &world.app.rotation_keys(&did).await.unwrap()[..] else { panic!("one key") };
    let page = browser.open(paths::RECOVERY_KEY).await;
    assert!(ours.is_ours && page.text.contains(&ours.key) && page.text.contains("This server’s."));

    let key = SigningKey::from_bytes(&[5; 32]).unwrap().did_key();
    for (key, password, field, why) in [
        (key.as_str(), "", "add-password", "wrong"),
        (key.as_str(), "nonsense", "add-password", "wrong"),
        ("did:key:zNonsense", PASSWORD, "add-key", ""),
        ("did:web:example.com", PASSWORD, "add-key", "did:key"),
    ] {
        let filled = [("key", key), ("password", password)];
        wrong(&send(&mut browser, paths::RECOVERY_KEY, "add", &filled).await, field, why);
    }
    assert_eq!(world.app.rotation_keys(&did).await.unwrap().len(), 1);
    let filled = [("key", key.as_str()), ("password", PASSWORD)];
    for _ in 0..2 {
        done(&send(&mut browser, paths::RECOVERY_KEY, "add", &filled).await, "above this server’s");
        let keys = world.app.rotation_keys(&did).await.unwrap();
        assert_eq!((keys.len(), keys[0].key.as_str(), keys[1].is_ours), (2, key.as_str(), true));
    }
    // This server's own key goes on below it.
    done(&send(&mut browser, paths::HANDLE, "change", &[("handle", "alicia.test")]).await, "is changed");
    for seed in 6..=8 {
        let key = SigningKey::from_bytes(&[seed; 32]).unwrap().did_key();
        let filled = [("key", key.as_str()), ("password", PASSWORD)];
        done(&send(&mut browser, paths::RECOVERY_KEY, "add", &filled).await, "above this server’s");
    }
    let key = SigningKey::from_bytes(&[9; 32]).unwrap().did_key();
    let filled = [("key", key.as_str()), ("password", PASSWORD)];
    wrong(&send(&mut browser, paths::RECOVERY_KEY, "add", &filled).await, "add-key", "5 keys at most");

    // One that is lost is taken out, with the password; this server's own stays.
    let lost = world.app.rotation_keys(&did).await.unwrap()[1].key.clone();
    for (key, password, field, why) in
        [(&lost, "nonsense", "remove-password", "wrong"), (&ours.key, PASSWORD, "remove-key", "the server’s")]
    {
        let filled = [("key", key.as_str()), ("password", password)];
        wrong(&send(&mut browser, paths::RECOVERY_KEY, "remove", &filled).await, field, why);
    }
    let filled = [("key", lost.as_str()), ("password", PASSWORD)];
    done(&send(&mut browser, paths::RECOVERY_KEY, "remove", &filled).await, "is taken out");
    let keys = world.app.rotation_keys(&did).await.unwrap();
    let told = world.subjects().await;
    assert_eq!(told.last().map(String::as_str), Some("A recovery key was removed"), "{told:?}");
    assert_eq!(told.iter().filter(|subject| *subject == "A recovery key was added").count(), 4);
    assert!(keys.len() == 4 && keys.iter().all(|key| key.key != lost) && keys[3].is_ours);
}
