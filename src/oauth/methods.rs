//! Methods that not everybody may call in an account's name. By their names in any case: some services take them so.

/// Whether a service token for this method is made for nobody: it would let another service act on the account itself.
pub fn is_protected(nsid: &str) -> bool {
    PROTECTED.iter().any(|protected| protected.eq_ignore_ascii_case(nsid))
}

/// Whether a service token for this method is closed to plain app passwords and to what takes their place: private
/// messages, letters and memories, and accounts elsewhere. One for any method (`*`) opens these too.
pub fn is_privileged(nsid: &str) -> bool {
    nsid == ANY
        || is_chat(nsid)
        || is_agents(nsid)
        || nsid.eq_ignore_ascii_case("com.atproto.server.createAccount")
}

/// Where the name of a method stands: any.
pub const ANY: &str = "*";

/// Whether a method is one of private messages.
pub fn is_chat(nsid: &str) -> bool {
    begins(nsid, "chat.bsky.")
}

/// Whether a method is one of agents' own.
pub fn is_agents(nsid: &str) -> bool {
    begins(nsid, "agent.")
}

fn begins(nsid: &str, prefix: &str) -> bool {
    nsid.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// As the reference server has them.
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
    fn protected_methods_are_found_however_they_are_written() {
        assert!(is_protected("com.atproto.identity.UPDATEHANDLE"));
        assert!(is_privileged("CHAT.bsky.convo.getLog") && !is_privileged("agent"));
        assert!(is_protected("com.atproto.identity.updateHandle"));
        assert!(!is_protected("com.atproto.repo.createRecord"));
        assert!(is_privileged("chat.bsky.convo.getLog") && is_privileged(ANY));
        assert!(is_privileged("agent.comms.deliver"));
        assert!(!is_privileged("app.bsky.feed.getTimeline"));
    }
}
