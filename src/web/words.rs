//! What each permission opens, in plain words: what people read before they say yes.

use crate::oauth::Scope;
use crate::oauth::scope::{
    AccountAction, AccountAttr, IdentityAttr, Names, Permission, RepoAction, Set, Sets,
};

/// One permission, as people read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// What the application may do.
    pub(super) title: String,
    /// To what, by the protocol's names.
    pub(super) details: Vec<String>,
    /// What a bundle says of itself.
    pub(super) says: String,
    /// What a bundle opens.
    pub(super) opens: Vec<Words>,
    /// Whether it reaches far enough to look twice.
    pub(super) is_broad: bool,
}

/// All that a scope opens, what reaches farthest first.
pub(super) fn words(scope: &Scope, sets: &Sets) -> Vec<Words> {
    let mut all: Vec<Words> = scope.iter().map(|permission| of(permission, sets)).collect();
    all.sort_by_key(|words| !words.is_broad);
    all
}

fn of(permission: &Permission, sets: &Sets) -> Words {
    let words = |title: &str| Words { title: title.to_owned(), ..Words::default() };
    let broad = |title: &str| Words { is_broad: true, ..words(title) };
    let with = |words: Words, details: Vec<String>| Words { details, ..words };
    match permission {
        Permission::Atproto => words("Know who you are: your handle and your DID"),
        Permission::TransitionGeneric => broad(
            "Act as you in public: write and delete all your public records, upload files, and use other services in \
             your name. Not your private memories, and not your account's settings",
        ),
        Permission::TransitionEmail => words("See your e-mail address"),
        Permission::TransitionChat => broad("Read and send your direct messages in the Bluesky app"),
        Permission::Repo { collections, actions } => {
            let verbs = actions.iter().map(|action| match action {
                RepoAction::Create => "create",
                RepoAction::Update => "change",
                RepoAction::Delete => "delete",
            });
            let verbs = listed(&verbs.collect::<Vec<_>>());
            match collections {
                Names::All => broad(&format!("{verbs} public records of all kinds")),
                Names::These(names) => with(
                    words(&format!("{verbs} public records of these kinds")),
                    names.iter().cloned().collect(),
                ),
            }
        }
        Permission::Rpc { methods, aud } => {
            let whom = if aud == "*" { "any service".to_owned() } else { aud.clone() };
            match methods {
                Names::All => broad(&format!("Use everything of {whom} in your name")),
                Names::These(names) => {
                    let is_private = names.iter().any(|name| name.starts_with("agent."));
                    let title = if is_private {
                        format!("Use these methods of {whom} in your name, which open your private memories")
                    } else {
                        format!("Use these methods of {whom} in your name")
                    };
                    let words = Words { is_broad: is_private, ..words(&title) };
                    with(words, names.iter().cloned().collect())
                }
            }
        }
        Permission::Blob { accept } => {
            with(words("Upload files of these types"), accept.iter().cloned().collect())
        }
        Permission::Account { attr, action } => match (attr, action) {
            (AccountAttr::Email, AccountAction::Read) => words("See your e-mail address"),
            (AccountAttr::Email, AccountAction::Manage) => broad("See and change your e-mail address"),
            (AccountAttr::Repo, AccountAction::Read) => words("See the state of your repository"),
            (AccountAttr::Repo, AccountAction::Manage) => {
                broad("Replace your public repository, as when an account moves here")
            }
            (AccountAttr::Status, AccountAction::Read) => words("See whether your account is active"),
            (AccountAttr::Status, AccountAction::Manage) => broad("Deactivate your account"),
        },
        Permission::Identity { attr: IdentityAttr::Handle } => broad("Change your handle"),
        Permission::Identity { attr: IdentityAttr::All } => {
            broad("Change your identity: your handle, your keys, and which server you are on")
        }
        Permission::Include { nsid, .. } => bundle(nsid, sets.get(permission)),
    }
}

/// A permission set. Its title and what it says are its publisher's, who is named; what it opens is said as all else is, and
/// never hidden behind that.
fn bundle(nsid: &str, set: Option<&Set>) -> Words {
    let group = nsid.rsplit_once('.').map_or(nsid, |(group, _)| group);
    let publisher = group.split('.').rev().collect::<Vec<_>>().join(".");
    let is_known = set.is_some();
    let Set { title, detail, scope } = set.cloned().unwrap_or_default();
    let mut opens = words(&Scope::parse(&scope), &Sets::default());
    let is_broad = opens.iter().any(|words| words.is_broad);
    if opens.is_empty() {
        let nothing =
            if is_known { "Nothing that is known here" } else { "What it opens is not known here just now" };
        opens.push(Words { title: nothing.to_owned(), ..Words::default() });
    }
    let title = if title.is_empty() { "A set of permissions".to_owned() } else { format!("“{title}”") };
    let whose = if group.starts_with("agent.") {
        "of this network".to_owned()
    } else {
        format!("as {publisher} puts it together")
    };
    let details = vec![nsid.to_owned()];
    Words { title: format!("{title}, {whose}"), details, is_broad, says: detail, opens }
}

/// `Create, change and delete`.
fn listed(verbs: &[&str]) -> String {
    let text = match verbs {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    };
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: somebody says yes to what no page said.
    #[test]
    fn every_permission_is_said_and_what_reaches_far_is_said_first() {
        let scope = Scope::parse(
            "atproto repo:app.bsky.feed.post?action=create&action=update repo:* blob:image/* \
             rpc:agent.memory.recall?aud=* account:email identity:*",
        );
        let all = words(&scope, &Sets::default());
        assert_eq!(all.len(), 7);
        assert!(all.is_sorted_by_key(|words| !words.is_broad), "{all:?}");
        let has = |title: &str| all.iter().any(|words| words.title.contains(title));
        assert!(has("Create and change public records of these kinds"), "{all:?}");
        assert!(has("Create, change and delete public records of all kinds"), "{all:?}");
        assert!(has("which open your private memories"), "{all:?}");
        let blob = all.iter().find(|words| words.title.contains("Upload")).unwrap();
        assert_eq!((blob.details.as_slice(), blob.is_broad), (&["image/*".to_owned()][..], false));
        for text in [
            "transition:generic",
            "transition:email",
            "transition:chat.bsky",
            "account:status?action=manage",
            "account:repo?action=manage",
            "account:repo",
            "account:status",
            "account:email?action=manage",
            "identity:handle",
        ] {
            let all = words(&Scope::parse(text), &Sets::default());
            assert!(all.len() == 1 && all[0].title.len() > 10, "{text}: {all:?}");
        }
    }

    /// What breaks: a friendly title stands in for what is opened.
    #[test]
    fn a_set_is_said_with_all_it_opens_and_whose_words_its_title_is() {
        let scope = Scope::parse(
            "atproto include:agent.memory.full include:com.example.auth include:com.example.none",
        );
        let mut sets = Sets::default();
        for (include, title, opens) in [
            ("include:agent.memory.full", "Memory", "rpc:agent.memory.recall?aud=*"),
            ("include:com.example.auth", "Harmless", "repo:com.example.post?action=delete"),
        ] {
            let set =
                Set { title: title.to_owned(), detail: "Trust me.".to_owned(), scope: opens.to_owned() };
            sets.insert(&Permission::parse(include).unwrap(), set);
        }
        let all = words(&scope, &sets);
        let (memory, harmless) =
            (&all[0], all.iter().find(|words| words.title.contains("Harmless")).unwrap());
        assert!(memory.is_broad && memory.title == "“Memory”, of this network", "{memory:?}");
        assert!(memory.opens[0].title.contains("which open your private memories"), "{memory:?}");
        assert_eq!(harmless.title, "“Harmless”, as example.com puts it together");
        assert_eq!((harmless.says.as_str(), harmless.is_broad), ("Trust me.", false));
        assert_eq!(harmless.opens[0].title, "Delete public records of these kinds");
        assert_eq!(harmless.opens[0].details, ["com.example.post"]);
        let none = all.iter().find(|words| words.details == ["com.example.none"]).unwrap();
        assert_eq!(none.opens[0].title, "What it opens is not known here just now");
        let none = Permission::parse("include:com.example.none").unwrap();
        sets.insert(&none, Set::default());
        assert_eq!(of(&none, &sets).opens[0].title, "Nothing that is known here");
    }
}
