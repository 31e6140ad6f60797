use proptest::prelude::*;

use super::*;

/// What is read of a text, written again.
fn normal(text: &str) -> Option<String> {
    Permission::parse(text).map(|permission| permission.to_string())
}

/// What breaks: a grant says something else than what was asked for, here or at the next reader.
#[test]
fn permissions_are_read_and_written_as_the_grammar_has_them() {
    let same = [
        "atproto",
        "transition:generic",
        "transition:email",
        "transition:chat.bsky",
        "repo:*",
        "repo:app.bsky.feed.post",
        "repo:app.bsky.feed.post?action=create",
        "repo:app.bsky.feed.post?action=create&action=delete",
        "repo?collection=app.bsky.feed.like&collection=app.bsky.feed.post",
        "rpc:app.bsky.feed.getTimeline?aud=*",
        "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23bsky_appview",
        "rpc:*?aud=did:web:api.bsky.app%23bsky_appview",
        "rpc?lxm=app.bsky.feed.getFeed&lxm=app.bsky.feed.getTimeline&aud=*",
        "rpc:app.bsky.feed.getTimeline?aud=did:web:localhost%253A2583%23atproto_pds",
        "blob:*/*",
        "blob:image/*",
        "blob:image/png",
        "blob?accept=image/png&accept=video/mp4",
        "account:email",
        "account:email?action=manage",
        "account:status",
        "identity:handle",
        "identity:*",
        "include:app.bsky.authFull",
        "include:app.bsky.authFull?aud=did:web:api.bsky.app%23bsky_appview",
    ];
    for text in same {
        assert_eq!(normal(text).as_deref(), Some(text));
    }
    let others = [
        (
            "repo:app.bsky.feed.post?action=delete&action=create",
            "repo:app.bsky.feed.post?action=create&action=delete",
        ),
        ("repo:app.bsky.feed.post?action=create&action=update&action=delete", "repo:app.bsky.feed.post"),
        ("repo?collection=app.bsky.feed.post", "repo:app.bsky.feed.post"),
        ("repo?collection=*&collection=app.bsky.feed.post", "repo:*"),
        ("repo:app.bsky.feed.post?", "repo:app.bsky.feed.post"),
        ("repo:%2A", "repo:*"),
        ("repo:app.bsky.feed%2Epost", "repo:app.bsky.feed.post"),
        ("repo:app.bsky.feed.post?action=create&action=create", "repo:app.bsky.feed.post?action=create"),
        (
            "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app#bsky_appview",
            "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23bsky_appview",
        ),
        ("rpc?aud=*&lxm=app.bsky.feed.getTimeline", "rpc:app.bsky.feed.getTimeline?aud=*"),
        ("blob?accept=image/png&accept=image/*", "blob:image/*"),
        ("blob?accept=*/*&accept=image/png", "blob:*/*"),
        ("blob:IMAGE/PNG", "blob:image/png"),
        ("blob:image%2Fpng", "blob:image/png"),
        ("account:email?action=read", "account:email"),
        ("account:email?action=read&action=manage", "account:email?action=manage"),
        ("account?attr=email", "account:email"),
        ("identity?attr=handle", "identity:handle"),
        ("include?nsid=app.bsky.authFull", "include:app.bsky.authFull"),
    ];
    for (text, expected) in others {
        assert_eq!(normal(text).as_deref(), Some(expected), "{text}");
    }
    let none = [
        "",
        "nothing",
        "transition:everything",
        "transition",
        "ATPROTO",
        "repo",
        "repo:",
        "repo:app.bsky.*",
        "repo:app.bsky.feed.post?collection=app.bsky.feed.like",
        "repo?action=create",
        "repo:app.bsky.feed.post?action=fly",
        "repo:app.bsky.feed.post?action=",
        "repo:app.bsky.feed.post?colour=red",
        "REPO:*",
        "repo:*#x",
        "repo:a%",
        "repo:app.bsky.feed.pöst",
        "rpc:*?aud=*",
        "rpc?lxm=*&lxm=app.bsky.feed.getTimeline&aud=*",
        "rpc:*",
        "rpc:app.bsky.feed.getTimeline",
        "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app",
        "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23",
        "rpc:app.bsky.feed.getTimeline?aud=#bsky_appview",
        "rpc:app.bsky.feed.getTimeline?aud=*&aud=*",
        "blob",
        "blob:image",
        "blob:*/png",
        "blob:image/p*",
        "blob:a/b/c",
        "blob:image/png?accept=image/jpeg",
        "account",
        "account:nothing",
        "account:email?action=fly",
        "account?attr=email&attr=repo",
        "account:email?attr=email",
        "identity",
        "identity:did",
        "include:app",
        "include:app.bsky.authFull?aud=*",
        "include:app.bsky.authFull?aud=did:web:api.bsky.app",
        "space:com.example.thing",
    ];
    for text in none {
        assert_eq!(normal(text), None, "{text}");
    }
}

#[test]
fn a_scope_is_sorted_without_doubles_and_without_what_is_not_understood() {
    let scope = Scope::parse("repo:*  nonsense atproto blob?accept=image/png repo?collection=* atproto");
    assert_eq!(scope.to_string(), "atproto blob:image/png repo:*");
    assert_eq!(Scope::parse_all("atproto nonsense repo:*"), Err("nonsense"));
    assert_eq!(Scope::parse_all("repo:* atproto").unwrap().to_string(), "atproto repo:*");
    let asked = Scope::parse("atproto repo:*");
    assert_eq!(asked.first_beyond(&Scope::parse("blob:*/* repo:* atproto")), None);
    assert_eq!(asked.first_beyond(&Scope::parse("atproto blob:*/*")), Permission::parse("repo:*").as_ref());
}

/// What each need is met by, and what is close to it and is not enough.
#[test]
fn a_need_is_met_by_what_names_it_and_by_nothing_else() {
    let post = |action| Need::Repo { collection: "app.bsky.feed.post", action };
    let rpc = |lxm, aud| Need::Rpc { lxm, aud };
    let (view, ours) = ("did:web:api.bsky.app#bsky_appview", "did:web:pds.test#atproto_pds");
    let table: &[(Need<'_>, &[&str], &[&str])] = &[
        (
            post(RepoAction::Create),
            &[
                "repo:*",
                "repo:app.bsky.feed.post",
                "repo:app.bsky.feed.post?action=create",
                "repo?collection=app.bsky.feed.like&collection=app.bsky.feed.post",
                "transition:generic",
            ],
            &[
                "atproto",
                "repo:app.bsky.feed.like",
                "repo:app.bsky.feed.post?action=update&action=delete",
                "blob:*/*",
                "transition:email",
                "transition:chat.bsky",
                "include:app.bsky.authFull",
            ],
        ),
        (post(RepoAction::Delete), &["repo:*?action=delete"], &["repo:*?action=create&action=update"]),
        (
            rpc("app.bsky.feed.getTimeline", view),
            &[
                "rpc:app.bsky.feed.getTimeline?aud=*",
                "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23bsky_appview",
                "rpc:*?aud=did:web:api.bsky.app%23bsky_appview",
                "transition:generic",
            ],
            &[
                "rpc:app.bsky.feed.getTimeline?aud=did:web:other.test%23bsky_appview",
                "rpc:app.bsky.feed.getTimeline?aud=did:web:api.bsky.app%23other",
                "rpc:app.bsky.feed.getFeed?aud=*",
                "rpc:*?aud=did:web:other.test%23bsky_appview",
                "repo:*",
                "transition:chat.bsky",
            ],
        ),
        (
            rpc("chat.bsky.convo.getLog", "did:web:api.bsky.chat#bsky_chat"),
            &["transition:chat.bsky", "rpc:chat.bsky.convo.getLog?aud=*"],
            &["transition:generic"],
        ),
        // Some services take names in any case.
        (
            rpc("Chat.BSKY.convo.getLog", "did:web:api.bsky.chat#bsky_chat"),
            &["transition:chat.bsky"],
            &["transition:generic"],
        ),
        (rpc("Agent.comms.deliver", ours), &[], &["transition:generic", "rpc:*?aud=*"]),
        (rpc("com.atproto.server.createAccount", view), &[], &["transition:generic", "transition:chat.bsky"]),
        // A token for any method is one for private messages too.
        (
            rpc("*", view),
            &["rpc:*?aud=did:web:api.bsky.app%23bsky_appview", "transition:generic transition:chat.bsky"],
            &["rpc:app.bsky.feed.getTimeline?aud=*"],
        ),
        (rpc("*", view), &[], &["transition:generic"]),
        (
            rpc("agent.memory.recall", ours),
            &["rpc:agent.memory.recall?aud=*", "rpc:agent.memory.recall?aud=did:web:pds.test%23atproto_pds"],
            &[
                "transition:generic",
                "transition:chat.bsky",
                "rpc:*?aud=did:web:pds.test%23atproto_pds",
                "repo:*",
            ],
        ),
        (
            Need::Repo { collection: "agent.vault.sealed", action: RepoAction::Update },
            &[],
            &["transition:generic", "repo:*", "repo:agent.vault.sealed"],
        ),
        (
            Need::Blob { mime: "image/png" },
            &["blob:*/*", "blob:image/*", "blob:image/png", "transition:generic"],
            &["blob:video/*", "blob:image/jpeg", "repo:*"],
        ),
        (Need::Blob { mime: "Image/PNG; a=b" }, &["blob:image/png"], &["blob:image/jpeg"]),
        (Need::Blob { mime: "*/*" }, &["transition:generic"], &["blob:*/*"]),
        (
            Need::Account { attr: AccountAttr::Email, action: AccountAction::Read },
            &["account:email", "account:email?action=manage", "transition:email"],
            &["account:repo", "account:status?action=manage", "transition:generic"],
        ),
        (
            Need::Account { attr: AccountAttr::Status, action: AccountAction::Manage },
            &["account:status?action=manage"],
            &["account:status", "transition:email", "transition:generic", "account:repo?action=manage"],
        ),
        (
            Need::Identity { attr: IdentityAttr::Handle },
            &["identity:handle", "identity:*"],
            &["transition:generic", "account:email?action=manage"],
        ),
        (Need::Identity { attr: IdentityAttr::All }, &["identity:*"], &["identity:handle"]),
    ];
    for (need, enough, less) in table {
        for scope in *enough {
            assert!(Scope::parse(&format!("atproto {scope}")).allows(need), "{need} by {scope}");
        }
        assert!(!Scope::parse(&less.join(" ")).allows(need), "{need} by {less:?}");
        assert!(!Scope::default().allows(need), "{need}");
    }
}

/// What a client is told to ask for would do, where anything would.
#[test]
fn a_need_is_written_as_the_scope_that_meets_it() {
    for (need, expected) in [
        (Need::Repo { collection: "a.b.c", action: RepoAction::Update }, "repo:a.b.c?action=update"),
        (Need::Rpc { lxm: "a.b.c", aud: "did:web:a.test#x" }, "rpc:a.b.c?aud=did:web:a.test%23x"),
        (Need::Blob { mime: "image/png" }, "blob:image/png"),
        (
            Need::Account { attr: AccountAttr::Repo, action: AccountAction::Manage },
            "account:repo?action=manage",
        ),
        (Need::Identity { attr: IdentityAttr::Handle }, "identity:handle"),
    ] {
        assert_eq!(need.to_string(), expected);
        assert!(Scope::parse(expected).allows(&need), "{expected}");
    }
}

fn nsid() -> impl Strategy<Value = String> {
    "(app|com)\\.[a-z]{1,6}\\.[a-z]{1,6}(\\.[a-zA-Z]{1,6})?"
}

fn audience() -> impl Strategy<Value = String> {
    prop_oneof![
        "did:web:[a-z]{1,8}\\.test#[a-z_]{1,8}",
        "did:plc:[a-z2-7]{24}#[a-z]{1,8}",
        "did:web:localhost%3A[0-9]{4}#[a-z]{1,4}",
    ]
}

fn names() -> impl Strategy<Value = Names> {
    prop_oneof![Just(Names::All), proptest::collection::btree_set(nsid(), 1..4).prop_map(Names::These)]
}

fn permission() -> impl Strategy<Value = Permission> {
    let actions = proptest::sample::subsequence(
        vec![RepoAction::Create, RepoAction::Update, RepoAction::Delete],
        1..=3,
    );
    let attrs = proptest::sample::select(vec![AccountAttr::Email, AccountAttr::Repo, AccountAttr::Status]);
    let action = proptest::sample::select(vec![AccountAction::Read, AccountAction::Manage]);
    let mimes = proptest::sample::subsequence(vec!["image/png", "video/*", "text/plain", "audio/ogg"], 1..=4);
    prop_oneof![
        Just(Permission::Atproto),
        Just(Permission::TransitionChat),
        (names(), actions).prop_map(|(collections, actions)| Permission::Repo {
            collections,
            actions: actions.into_iter().collect()
        }),
        (names(), audience()).prop_map(|(methods, aud)| Permission::Rpc { methods, aud }),
        mimes.prop_map(|accept| Permission::Blob { accept: accept.into_iter().map(str::to_owned).collect() }),
        (attrs, action).prop_map(|(attr, action)| Permission::Account { attr, action }),
        (nsid(), proptest::option::of(audience())).prop_map(|(nsid, aud)| Permission::Include { nsid, aud }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(permissions in proptest::collection::vec(permission(), 0..6)) {
        let scope: Scope = permissions.iter().cloned().collect();
        let text = scope.to_string();
        prop_assert_eq!(&Scope::parse(&text), &scope);
        prop_assert_eq!(Scope::parse_all(&text), Ok(scope));
        for permission in permissions {
            prop_assert_eq!(Permission::parse(&permission.to_string()), Some(permission));
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_what_is_read_is_stable(text in "(repo|rpc|blob|account|identity|include|x)[:?]?[ -~]{0,40}") {
        if let Some(permission) = Permission::parse(&text) {
            prop_assert_eq!(Permission::parse(&permission.to_string()), Some(permission));
        }
    }

    /// What breaks: a permission more takes something away, or a broad one opens what is private.
    #[test]
    fn more_permissions_allow_more_and_never_the_vault(permissions in proptest::collection::vec(permission(), 0..6), more in permission()) {
        let scope: Scope = permissions.into_iter().collect();
        let wider: Scope = scope.iter().cloned().chain([more]).collect();
        let needs = [
            Need::Repo { collection: "app.bsky.feed.post", action: RepoAction::Create },
            Need::Rpc { lxm: "app.bsky.x", aud: "did:web:a.test#x" },
            Need::Blob { mime: "image/png" },
        ];
        for need in needs {
            prop_assert!(!scope.allows(&need) || wider.allows(&need));
        }
        let vault = Need::Rpc { lxm: "agent.memory.recall", aud: "did:web:pds.test#atproto_pds" };
        prop_assert!(!wider.allows(&vault), "none of these names the method");
    }
}
