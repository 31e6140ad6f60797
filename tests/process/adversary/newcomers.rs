//! People who sign up and sign in meanwhile.

use std::time::Duration;

use serde_json::json;

use super::faults::{Caller, SIGN_IN, SIGN_UP};
use crate::random::Random;

/// All who were let in.
#[derive(Clone, Debug)]
pub(super) struct Newcomers {
    /// DIDs by handle.
    made: Vec<(String, String)>,
    tried: usize,
    random: Random,
}

impl Newcomers {
    pub(super) fn new(random: Random) -> Self {
        Self { made: Vec::new(), tried: 0, random }
    }

    pub(super) async fn work(mut self, mut caller: Caller) -> Self {
        while !caller.faults.is_paused() {
            if caller.faults.may_ask() {
                let known = self.random.pick(&self.made).cloned();
                match known.filter(|_| self.random.between(0, 2) == 0) {
                    Some((handle, did)) => sign_in(&mut caller, &handle, &did).await,
                    None => self.sign_up(&mut caller).await,
                }
            }
            tokio::time::sleep(Duration::from_millis(self.random.between(200, 1_500))).await;
        }
        self
    }

    async fn sign_up(&mut self, caller: &mut Caller) {
        self.tried += 1;
        let (name, password) = (format!("newcomer{}", self.tried), "correct horse");
        let handle = format!("{name}.test");
        let input = json!({ "handle": handle, "email": format!("{name}@example.com"), "password": password });
        if let Some(made) = caller.post(SIGN_UP, None, &input).await.json() {
            self.made.push((handle, made["did"].as_str().unwrap().to_owned()));
        }
    }

    /// Everybody who was let in is there.
    pub(super) async fn find_all(&self, caller: &mut Caller) {
        for (handle, did) in &self.made {
            let path = format!("com.atproto.identity.resolveHandle?handle={handle}");
            let found = caller.get(&path, None).await.json();
            assert_eq!(found.unwrap_or_else(|| panic!("{handle} is not there"))["did"], json!(did));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.made.len()
    }
}

async fn sign_in(caller: &mut Caller, handle: &str, did: &str) {
    let input = json!({ "identifier": handle, "password": "correct horse" });
    if let Some(session) = caller.post(SIGN_IN, None, &input).await.json() {
        assert_eq!(session["did"], json!(did), "{handle}");
    }
}
