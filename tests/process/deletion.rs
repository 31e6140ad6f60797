//! Deleting an agent right after it wrote: the last events still go out, and nothing stays.

use harness::zap::{ADMIN_TOKEN, create_agent};
use serde_json::json;
use zap::event::Event;

use crate::firehose;

/// What breaks: a deletion that fails while the agent's events are on their way, or that swallows them.
#[tokio::test]
async fn an_agent_that_wrote_a_moment_ago_can_be_deleted() {
    let (_folder, zap) = super::start("warn").await;
    let mut client = zap.client();
    let admin = format!("Bearer {ADMIN_TOKEN}");
    for round in 0..3 {
        let agent = create_agent(&mut client, &format!("brief{round}")).await.unwrap();
        let mut subscriber = firehose::subscribe(&zap, Some(0)).await.unwrap();
        let memory = json!({ "memory": { "$type": "agent.memory.note", "summary": "soon gone" } });
        let own = Some(agent.authorization.as_str());
        for _ in 0..3 {
            client.post("agent.memory.remember", own, &memory).await.unwrap().success().unwrap();
        }
        let gone = json!({ "agent": agent.did });
        client.post("agent.admin.deleteAgent", Some(&admin), &gone).await.unwrap().success().unwrap();

        let refused = client.post("agent.memory.remember", own, &memory).await.unwrap();
        assert_ne!(refused.status, 200, "its token is no good any more");
        let path = format!("/xrpc/com.atproto.sync.getRepo?did={}", agent.did);
        let refused = client.get(&path, None).await.unwrap();
        assert!(matches!(refused.status, 400 | 404), "{}", refused.status);
        let (mut commits, mut deleted) = (0, false);
        while !deleted {
            for frame in subscriber.next().await.unwrap() {
                match Event::decode(&frame).unwrap() {
                    Event::Commit { body, .. } if body.repo == agent.did => commits += 1,
                    Event::Account { body, .. } if body.did == agent.did => {
                        deleted = body.status == Some("deleted");
                    }
                    _ => {}
                }
            }
        }
        assert!(commits <= 4, "{commits} commits of four");
    }
}
