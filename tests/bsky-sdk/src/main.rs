//! bsky-sdk, the Rust client, as programs use it against a running server:
//!
//! ```text
//! bsky-sdk-test URL HANDLE PASSWORD
//! ```

use std::error::Error;

use atrium_xrpc_client::reqwest::ReqwestClient;
use bsky_sdk::agent::BskyAtpAgentBuilder;
use bsky_sdk::agent::config::Config;
use bsky_sdk::api::app::bsky::actor::defs::{AdultContentPrefData, PreferencesItem};
use bsky_sdk::api::app::bsky::actor::put_preferences;
use bsky_sdk::api::app::bsky::feed::post;
use bsky_sdk::api::com::atproto::repo::get_record;
use bsky_sdk::api::com::atproto::server::{create_app_password, revoke_app_password};
use bsky_sdk::api::types::Union;
use bsky_sdk::api::types::string::Datetime;
use bsky_sdk::record::Record as _;

fn draft(text: &str) -> post::RecordData {
    post::RecordData {
        created_at: Datetime::now(),
        text: text.to_owned(),
        embed: None,
        entities: None,
        facets: None,
        labels: None,
        langs: None,
        reply: None,
        tags: None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let [url, handle, password] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "URL HANDLE PASSWORD")?;
    let config = || Config { endpoint: url.clone(), ..Config::default() };
    let agent = BskyAtpAgentBuilder::new(ReqwestClient::new(&url)).config(config()).build().await?;
    assert!(agent.login(&handle, "wrong").await.is_err());
    let session = agent.login(&handle, &password).await?;
    assert_eq!(session.handle.as_str(), handle);
    assert_eq!(agent.get_endpoint().await, url, "where the DID document says that the account is");
    println!("signed in");

    let made = agent.create_record(draft("by bsky-sdk")).await?;
    let listed = post::RecordData::list(&agent, None, None).await?;
    let found: Vec<_> = listed.records.iter().map(|record| (&record.uri, &record.cid)).collect();
    assert_eq!(found, [(&made.uri, &made.cid)]);
    let rkey = made.uri.rsplit('/').next().ok_or("no key")?;
    let read = post::RecordData::get(&agent, rkey.parse()?).await?;
    assert_eq!(read.cid.as_ref(), Some(&made.cid));
    let blob = agent.api.com.atproto.repo.upload_blob(b"\x89PNG\r\n\x1a\nno picture".to_vec()).await?;
    println!("wrote, read and uploaded {:?}", blob.data.blob);

    agent.delete_record(&made.uri).await?;
    let gone = agent.api.com.atproto.repo.get_record(
        get_record::ParametersData {
            cid: None,
            collection: "app.bsky.feed.post".parse()?,
            repo: handle.parse()?,
            rkey: rkey.parse()?,
        }
        .into(),
    );
    match gone.await {
        // By the name that the lexicon has for it.
        Err(error) => assert!(error.to_string().contains("RecordNotFound"), "{error}"),
        Ok(record) => return Err(format!("deleted, and still there: {record:?}").into()),
    }
    println!("deleted");

    let adult = AdultContentPrefData { enabled: true }.into();
    let preferences = vec![Union::Refs(PreferencesItem::AdultContentPref(Box::new(adult)))];
    agent.api.app.bsky.actor.put_preferences(put_preferences::InputData { preferences }.into()).await?;
    assert!(agent.get_preferences(false).await?.moderation_prefs.adult_content_enabled);
    println!("set preferences");

    // The end of an app password ends access tokens: the client is told so, and refreshes its own.
    let server = &agent.api.com.atproto.server;
    let name = "phone".to_owned();
    server
        .create_app_password(create_app_password::InputData { name: name.clone(), privileged: None }.into())
        .await?;
    let before = agent.get_session().await.ok_or("no session")?;
    server.revoke_app_password(revoke_app_password::InputData { name }.into()).await?;
    agent.create_record(draft("after a refresh")).await?;
    let after = agent.get_session().await.ok_or("no session")?;
    assert_ne!(before.refresh_jwt, after.refresh_jwt);

    // A program that is started again goes on with what it kept.
    let kept = agent.to_config().await;
    let again = BskyAtpAgentBuilder::new(ReqwestClient::new(&url)).config(kept).build().await?;
    again.create_record(draft("after a restart")).await?;
    assert_eq!(post::RecordData::list(&again, None, None).await?.records.len(), 2);
    println!("refreshed and resumed");
    Ok(())
}
