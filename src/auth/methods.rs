//! Methods whose service tokens are held back.

/// Whether a service token for this method is made for nobody: it would let another service act on the account itself.
pub fn is_protected(nsid: &str) -> bool {
    PROTECTED.binary_search(&nsid).is_ok()
}

/// Whether a service token for this method is closed to plain app passwords: private messages, letters and memories,
/// and accounts elsewhere.
pub fn is_privileged(nsid: &str) -> bool {
    nsid.starts_with("chat.bsky.") || nsid.starts_with("agent.") || nsid == "com.atproto.server.createAccount"
}

/// As the reference server has them. Sorted.
const PROTECTED: &[&str] = &[
    "com.atproto.admin.sendEmail",
    "com.atproto.identity.requestPlcOperationSignature",
    "com.atproto.identity.signPlcOperation",
    "com.atproto.identity.updateHandle",
    "com.atproto.server.activateAccount",
    "com.atproto.server.confirmEmail",
    "com.atproto.server.createAppPassword",
    "com.atproto.server.deactivateAccount",
    "com.atproto.server.getAccountInviteCodes",
    "com.atproto.server.getSession",
    "com.atproto.server.listAppPasswords",
    "com.atproto.server.requestAccountDelete",
    "com.atproto.server.requestEmailConfirmation",
    "com.atproto.server.requestEmailUpdate",
    "com.atproto.server.revokeAppPassword",
    "com.atproto.server.updateEmail",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_methods_are_sorted_and_found() {
        assert!(PROTECTED.is_sorted());
        assert!(is_protected("com.atproto.identity.updateHandle"));
        assert!(!is_protected("com.atproto.repo.createRecord"));
        assert!(is_privileged("chat.bsky.convo.getLog"));
        assert!(is_privileged("agent.comms.deliver"));
        assert!(!is_privileged("app.bsky.feed.getTimeline"));
    }
}
