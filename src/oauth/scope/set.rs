//! Permission sets: many permissions under one name, which whoever owns a namespace publishes as a lexicon.
//!
//! A set opens records and methods of its own namespace and nothing else. An entry of it that is not understood, or that
//! reaches farther, is left out, as the protocol grows; so a set opens at most what it says.
//!
//! Source: <https://atproto.com/specs/permission>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::shown::shown;
use super::{Names, Permission, RepoAction, Scope};
use crate::syntax::{Nsid, validate_nsid};

/// Sets that one scope may include: each may have to be looked up elsewhere.
pub const SETS_MAX: usize = 8;

/// Bytes of a scope with all that its sets open: it is in every access token, and so in a header of every request. The
/// sets of full clients have half of it.
pub const GRANTED_BYTES_MAX: usize = 8 * 1024;

const TITLE_CHARS_MAX: usize = 120;
const DETAIL_CHARS_MAX: usize = 500;

/// What the sets of a scope open, by the `include:` that names each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sets(BTreeMap<String, Set>);

/// What one set opens, included just so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// The bundle in a few words, which are its publisher's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The bundle in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The permissions, as a scope.
    pub scope: String,
}

/// Why a lexicon is no permission set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lexicon is no permission set")]
pub struct NotASet;

impl Sets {
    /// What a set opens; `None` for one that is not here.
    #[must_use]
    pub fn get(&self, include: &Permission) -> Option<&Set> {
        self.0.get(&include.to_string())
    }

    /// Says what a set opens.
    pub fn insert(&mut self, include: &Permission, set: Set) {
        self.0.insert(include.to_string(), set);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sets' `include:`s, each with what it opens.
    pub fn iter(&self) -> impl Iterator<Item = (Permission, &Set)> {
        self.0.iter().filter_map(|(include, set)| Some((Permission::parse(include)?, set)))
    }

    /// The same without words for people: what a client carries.
    #[must_use]
    pub fn without_words(self) -> Self {
        let bare = |set: Set| Set { scope: set.scope, ..Set::default() };
        Self(self.0.into_iter().map(|(include, set)| (include, bare(set))).collect())
    }

    /// Bytes of all that is opened, with the names.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(include, set)| include.len() + set.scope.len()).sum()
    }
}

impl Scope {
    /// The sets that it names.
    pub fn includes(&self) -> impl Iterator<Item = &Permission> {
        self.iter().filter(|one| matches!(one, Permission::Include { .. }))
    }

    /// The same with what its sets open in their place. A set that is not among `sets` opens nothing.
    #[must_use]
    pub fn with_sets(&self, sets: &Sets) -> Self {
        let opened = self.includes().filter_map(|include| sets.get(include));
        let opened: Vec<Self> = opened.map(|set| Self::parse(&set.scope)).collect();
        let plain = self.iter().filter(|one| !matches!(one, Permission::Include { .. }));
        plain.chain(opened.iter().flat_map(Self::iter)).cloned().collect()
    }
}

impl Set {
    /// Reads what the set of a lexicon document opens, where it is included with this audience.
    ///
    /// # Errors
    /// [`NotASet`].
    pub fn read(nsid: &Nsid, aud: Option<&str>, document: &Value) -> Result<Self, NotASet> {
        let main = document.pointer("/defs/main").ok_or(NotASet)?;
        if main["type"] != "permission-set" {
            return Err(NotASet);
        }
        let entries = main["permissions"].as_array().ok_or(NotASet)?;
        let text = |name: &str, chars_max| shown(main[name].as_str().unwrap_or_default(), chars_max);
        let opened = entries.iter().filter_map(|entry| opened(nsid, aud, entry.as_object()?));
        Ok(Self {
            title: text("title", TITLE_CHARS_MAX),
            detail: text("detail", DETAIL_CHARS_MAX),
            scope: opened.collect::<Scope>().to_string(),
        })
    }
}

/// What an entry of a set opens; `None` for one that counts as not there.
fn opened(set: &Nsid, aud: Option<&str>, entry: &Map<String, Value>) -> Option<Permission> {
    let has_only = |names: &[&str]| {
        entry.keys().all(|name| ["type", "resource"].contains(&&**name) || names.contains(&&**name))
    };
    if entry.get("type")? != "permission" {
        return None;
    }
    match entry.get("resource")?.as_str()? {
        "repo" if has_only(&["collection", "action"]) => {
            let collections = names_under(set, entry.get("collection")?)?;
            let actions = match entry.get("action") {
                None => RepoAction::ALL.into(),
                Some(actions) => texts(actions)?.into_iter().map(RepoAction::parse).collect::<Option<_>>()?,
            };
            Some(Permission::Repo { collections, actions })
        }
        "rpc" if has_only(&["lxm", "aud", "inheritAud"]) => {
            let methods = names_under(set, entry.get("lxm")?)?;
            let inherits = entry.get("inheritAud").map_or(Some(false), Value::as_bool)?;
            let aud = match (entry.get("aud"), inherits) {
                (None, true) => aud?,
                (Some(all), false) if all == "*" => "*",
                _ => return None,
            };
            Some(Permission::Rpc { methods, aud: aud.to_owned() })
        }
        _ => None,
    }
}

/// Names that are all of the set's group, or below it.
fn names_under(set: &Nsid, names: &Value) -> Option<Names> {
    let is_under = |name: &str| {
        let rest = name.strip_prefix(set.authority()).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some() && validate_nsid(name).is_ok()
    };
    let names = texts(names)?;
    names
        .iter()
        .all(|name| is_under(name))
        .then(|| Names::These(names.into_iter().map(str::to_owned).collect()))
}

/// A list of texts that has some.
fn texts(list: &Value) -> Option<Vec<&str>> {
    let list = list.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::Need;

    const AUD: &str = "did:web:api.example.com#svc";

    fn set(entries: &Value) -> Set {
        let document =
            json!({"defs": {"main": {"type": "permission-set", "title": "T", "permissions": entries}}});
        Set::read(&Nsid::try_from("com.example.auth").unwrap(), Some(AUD), &document).unwrap()
    }

    #[test]
    fn a_set_opens_what_it_lists_of_its_own_namespace() {
        let set = set(&json!([
            {"type": "permission", "resource": "repo", "collection": ["com.example.post", "com.example.deep.er"]},
            {"type": "permission", "resource": "repo", "collection": ["com.example.like"], "action": ["delete"]},
            {"type": "permission", "resource": "rpc", "inheritAud": true, "lxm": ["com.example.getFeed"]},
            {"type": "permission", "resource": "rpc", "inheritAud": false, "aud": "*", "lxm": ["com.example.getAny"]},
        ]));
        let expected = "repo:com.example.like?action=delete repo?collection=com.example.deep.er&collection=com.example.post \
            rpc:com.example.getAny?aud=* rpc:com.example.getFeed?aud=did:web:api.example.com%23svc";
        assert_eq!((&*set.scope, &*set.title), (expected, "T"));
    }

    /// What breaks: who publishes a set is given what is none of theirs, or what nobody here understands.
    #[test]
    fn an_entry_that_reaches_farther_or_is_not_understood_is_left_out() {
        let entry = |more: Value| {
            let mut entry =
                json!({"type": "permission", "resource": "rpc", "lxm": ["com.example.get"], "aud": "*"});
            for (name, value) in more.as_object().unwrap() {
                if value.is_null() {
                    entry.as_object_mut().unwrap().remove(name);
                } else {
                    entry[name] = value.clone();
                }
            }
            entry
        };
        assert_eq!(set(&json!([entry(json!({}))])).scope, "rpc:com.example.get?aud=*");
        for more in [
            json!({"lxm": ["com.other.get"]}),
            json!({"lxm": ["com.example.get", "com.other.get"]}),
            json!({"lxm": ["com.examples.get"]}),
            json!({"lxm": ["com.example"]}),
            json!({"lxm": ["agent.memory.recall"]}),
            json!({"lxm": ["*"]}),
            json!({"lxm": []}),
            json!({"lxm": "com.example.get"}),
            json!({"lxm": [1]}),
            json!({"aud": AUD}),
            json!({"aud": null}),
            json!({"inheritAud": true}),
            json!({"inheritAud": "yes", "aud": null}),
            json!({"limit": 5}),
            json!({"type": "other"}),
            json!({"resource": "blob", "lxm": null, "aud": null, "accept": ["*/*"]}),
            json!({"resource": "identity", "lxm": null, "aud": null, "attr": "*"}),
            json!({"resource": "include", "lxm": null, "aud": null, "nsid": "com.example.other"}),
            json!({"resource": "repo", "lxm": null, "aud": null, "collection": ["*"]}),
            json!({"resource": "repo", "lxm": null, "aud": null, "collection": ["com.example.a"], "action": ["fly"]}),
            json!({"resource": "repo", "lxm": null, "aud": null, "collection": ["com.example.a"], "action": []}),
        ] {
            assert_eq!(set(&json!([entry(more.clone()), "text", null])).scope, "", "{more}");
        }
        let nsid = Nsid::try_from("com.example.auth").unwrap();
        let inherits = json!([entry(json!({"aud": null, "inheritAud": true}))]);
        let document = json!({"defs": {"main": {"type": "permission-set", "permissions": inherits}}});
        assert_eq!(Set::read(&nsid, None, &document).unwrap().scope, "", "there is none to inherit");
        for document in [
            json!({}),
            json!([]),
            json!({"defs": {"main": {"type": "record"}}}),
            json!({"defs": {"main": {"type": "permission-set"}}}),
        ] {
            assert_eq!(Set::read(&nsid, None, &document), Err(NotASet), "{document}");
        }
    }

    #[test]
    fn words_of_strangers_are_one_plain_line() {
        let document = json!({"defs": {"main": {"type": "permission-set", "title": "a\n\u{202e}b", "detail": "x".repeat(5000),
            "permissions": []}}});
        let set = Set::read(&Nsid::try_from("com.example.auth").unwrap(), None, &document).unwrap();
        assert_eq!((&*set.title, set.detail.len()), ("ab", DETAIL_CHARS_MAX));
    }

    /// What breaks: a scope with a set opens what its owner never saw, or nothing.
    #[test]
    fn a_set_stands_for_what_it_opens_and_only_where_it_was_included_so() {
        let scope = Scope::parse("atproto include:com.example.auth include:com.example.gone");
        let mut sets = Sets::default();
        let include = |text: &str| Permission::parse(text).unwrap();
        let opened =
            |scope: &str| Set { scope: scope.to_owned(), title: "T".to_owned(), detail: "D".to_owned() };
        sets.insert(&include("include:com.example.auth"), opened("repo:com.example.post"));
        sets.insert(&include("include:com.example.never"), opened("repo:*"));
        let sets = sets.without_words();
        let granted = scope.with_sets(&sets);
        assert_eq!(granted.to_string(), "atproto repo:com.example.post");
        assert!(granted.allows(&Need::Repo { collection: "com.example.post", action: RepoAction::Create }));
        assert!(sets.iter().all(|(_, set)| set.title.is_empty() && set.detail.is_empty()));
        assert_eq!(scope.includes().count(), 2);
    }
}
