//! Other services of the network that accounts here are served by: which are set, and where those are that somebody names.

use super::{App, Error};
use crate::config::{Service, Services};
use crate::host::Net;
use crate::oauth::methods::{is_agents, is_chat};
use crate::syntax::Did;

/// The id of an app view in its DID document.
pub const APPVIEW: &str = "bsky_appview";
/// The id of a service that labels and moderates.
const LABELER: &str = "atproto_labeler";

/// A service as it is called: whose, which of theirs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose it is: the audience of a token.
    pub did: Did,
    /// Its id in their document, without `#`.
    pub id: String,
    /// Its origin.
    pub url: String,
    /// Whether the operator chose it, no stranger.
    pub is_operators: bool,
}

impl Target {
    fn operators(service: &Service, id: &str) -> Self {
        Self { did: service.did.clone(), id: id.to_owned(), url: service.url.clone(), is_operators: true }
    }

    /// `did#service`, as permissions name it.
    #[must_use]
    pub fn audience(&self) -> String {
        format!("{}#{}", self.did, self.id)
    }
}

impl Services {
    /// Where a method goes unless its caller says; private messages and what is an agent's own go nowhere by themselves.
    #[must_use]
    pub fn usual(&self, nsid: &str) -> Option<Target> {
        let of =
            |service: &Option<Service>, id| service.as_ref().map(|service| Target::operators(service, id));
        if is_chat(nsid) || is_agents(nsid) {
            None
        } else if nsid == "com.atproto.moderation.createReport" {
            of(&self.reports, LABELER)
        } else if nsid.starts_with("tools.ozone.") {
            of(&self.moderation, LABELER)
        } else {
            of(&self.appview, APPVIEW)
        }
    }

    /// A service that is set, by its `did#service`.
    fn named(&self, did: &Did, id: &str) -> Option<Target> {
        let all = [(&self.appview, APPVIEW), (&self.moderation, LABELER), (&self.reports, LABELER)];
        let mut found =
            all.into_iter().filter(|(_, own)| *own == id).filter_map(|(service, _)| service.as_ref());
        found.find(|service| service.did == *did).map(|service| Target::operators(service, id))
    }
}

impl App {
    /// The service `id` of a DID, for a client who named it.
    ///
    /// # Errors
    /// [`Error::NoSuchService`] where its document has none, or not where it could be called; as
    /// [`super::Identities::document_for`].
    pub async fn service(&self, client: Option<Net>, did: Did, id: &str) -> Result<Target, Error> {
        if let Some(target) = self.services.named(&did, id) {
            return Ok(target);
        }
        let document = self.identities.document_for(&self.host, client, &did, false).await?;
        let endpoint = document.service_endpoint(id).and_then(|endpoint| url::Url::parse(endpoint).ok());
        let origin = endpoint.map(|url| url.origin()).filter(url::Origin::is_tuple);
        let url = origin.ok_or(Error::NoSuchService)?.ascii_serialization();
        Ok(Target { did, id: id.to_owned(), url, is_operators: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> Option<Service> {
        Some(Service {
            did: Did::try_from(format!("did:web:{name}")).unwrap(),
            url: format!("https://{name}"),
        })
    }

    #[test]
    fn methods_go_where_they_belong_and_private_ones_nowhere_by_themselves() {
        let services = Services {
            appview: service("appview.test"),
            moderation: service("ozone.test"),
            reports: service("reports.test"),
        };
        let usual = |nsid| services.usual(nsid).map(|target| target.audience());
        for (nsid, expected) in [
            ("app.bsky.feed.getTimeline", Some("did:web:appview.test#bsky_appview")),
            ("com.example.anything", Some("did:web:appview.test#bsky_appview")),
            ("tools.ozone.moderation.queryEvents", Some("did:web:ozone.test#atproto_labeler")),
            ("com.atproto.moderation.createReport", Some("did:web:reports.test#atproto_labeler")),
            ("chat.bsky.convo.getLog", None),
            ("agent.comms.deliver", None),
            ("Chat.bsky.convo.getLog", None),
            ("AGENT.comms.deliver", None),
        ] {
            assert_eq!(usual(nsid).as_deref(), expected, "{nsid}");
        }
        assert_eq!(Services::default().usual("app.bsky.feed.getTimeline"), None);
        let did = Did::try_from("did:web:reports.test").unwrap();
        assert!(services.named(&did, LABELER).is_some_and(|target| target.is_operators));
        assert_eq!(services.named(&did, APPVIEW), None);
    }
}
