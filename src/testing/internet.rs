//! All that is not ours, as far as a test wants it: the did:plc directory, names in the DNS, other servers' documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use super::PLC;
use crate::host::{HostError, MailFailure};
use crate::mail::Mail;
use crate::native::sql::Database;
use crate::plc;
use crate::store::Sql as _;

/// A service of the network.
type Service = Box<dyn Fn(&Request<Bytes>) -> Response<Bytes> + Send>;

/// What is said in place of the truth: status and body, where this has a word for a request.
type Lie = Box<dyn FnMut(&Request<Bytes>) -> Option<(u16, String)> + Send>;

/// What is reached through [`crate::host::Host::fetch`] and in the DNS.
pub struct Internet {
    directory: Arc<Mutex<Database>>,
    /// The did:plc directory refuses connections.
    pub plc_is_down: AtomicBool,
    /// The did:plc directory does what it is asked, and nobody hears so.
    pub plc_is_mute: AtomicBool,
    /// What is posted to the did:plc directory is lost on the way; it answers all else.
    pub plc_loses_posts: AtomicBool,
    /// For the first of these DIDs the did:plc directory gives what it has of the second.
    pub plc_confuses: Mutex<Option<(String, String)>>,
    /// What a gateway answers in the did:plc directory's place.
    pub plc_gateway: Mutex<Option<(u16, &'static str)>>,
    /// What the did:plc directory says in place of the truth.
    pub plc_lies: Mutex<Option<Lie>>,
    /// Whoever holds this lets nothing be posted to the did:plc directory.
    pub plc_gate: Arc<tokio::sync::Mutex<()>>,
    /// Whoever holds this lets no server but the did:plc directory answer.
    pub others_gate: Arc<tokio::sync::Mutex<()>>,
    /// The DNS does not answer.
    pub dns_is_down: AtomicBool,
    /// So many questions more the DNS does not answer.
    pub dns_misses: AtomicUsize,
    /// Servers that have an address and take no connection.
    pub servers_down: Mutex<BTreeSet<String>>,
    /// Names and their TXT records.
    pub txt: Mutex<BTreeMap<String, Vec<String>>>,
    /// Who was asked, by address.
    pub asked: Mutex<Vec<String>>,
    /// Mails that the mail server took, in order.
    pub mailbox: Mutex<Vec<Mail>>,
    /// Why it takes none.
    pub mail_fails: Mutex<Option<MailFailure>>,
    /// What a service answers whose documents are not there.
    pub service: Mutex<Option<Service>>,
    /// What other servers answer a GET with, by address.
    pub documents: Mutex<BTreeMap<String, Bytes>>,
}

impl Default for Internet {
    fn default() -> Self {
        let directory = Database::in_memory().unwrap();
        plc::prepare(&directory).unwrap();
        Self::with(Arc::new(Mutex::new(directory)))
    }
}

impl Internet {
    /// The same did:plc directory, as another network reaches it.
    pub fn beside(&self) -> Self {
        Self::with(Arc::clone(&self.directory))
    }

    fn with(directory: Arc<Mutex<Database>>) -> Self {
        Self {
            directory,
            plc_is_down: AtomicBool::default(),
            plc_is_mute: AtomicBool::default(),
            plc_loses_posts: AtomicBool::default(),
            plc_confuses: Mutex::default(),
            plc_gateway: Mutex::default(),
            plc_lies: Mutex::default(),
            plc_gate: Arc::default(),
            others_gate: Arc::default(),
            dns_is_down: AtomicBool::default(),
            dns_misses: AtomicUsize::default(),
            servers_down: Mutex::default(),
            txt: Mutex::default(),
            asked: Mutex::default(),
            mailbox: Mutex::default(),
            mail_fails: Mutex::default(),
            documents: Mutex::default(),
            service: Mutex::default(),
        }
    }

    /// Waits where a test holds requests up.
    pub(super) async fn pass_gate(&self, request: &Request<Bytes>) {
        if !request.uri().to_string().starts_with(PLC) {
            drop(self.others_gate.lock().await);
        } else if request.method() == Method::POST {
            drop(self.plc_gate.lock().await);
        }
    }

    /// Answers a request, without waiting.
    pub(super) fn serve(&self, now_us: i64, request: &Request<Bytes>) -> Result<Response<Bytes>, HostError> {
        let upstream = |why: &str| Err(HostError::Upstream(why.to_owned()));
        let address = request.uri().to_string();
        self.asked.lock().unwrap().push(format!("{} {address}", request.method()));
        if !address.starts_with(PLC) {
            let document = self.documents.lock().unwrap().get(&address).cloned();
            let service = self.service.lock().unwrap();
            let answer = document.map(|found| {
                let mut response = Response::new(found);
                let json = http::HeaderValue::from_static("application/json");
                response.headers_mut().insert(http::header::CONTENT_TYPE, json);
                response
            });
            let answer = answer.or_else(|| service.as_ref().map(|answer| answer(request)));
            return answer.map_or_else(|| upstream("connection refused"), Ok);
        }
        if self.plc_is_down.load(Ordering::Relaxed) {
            return upstream("connection refused");
        }
        if let Some((status, body)) = *self.plc_gateway.lock().unwrap() {
            return Ok(Response::builder().status(status).body(body.into()).unwrap());
        }
        if let Some((status, body)) = self.plc_lies.lock().unwrap().as_mut().and_then(|lie| lie(request)) {
            return Ok(Response::builder().status(status).body(body.into()).unwrap());
        }
        if self.plc_loses_posts.load(Ordering::Relaxed) && request.method() == Method::POST {
            return upstream("no answer in time");
        }
        let mut path = request.uri().path().to_owned();
        if let Some((asked, given)) = &*self.plc_confuses.lock().unwrap() {
            path = path.replace(asked, given);
        }
        let answer = self.ask_plc(
            now_us,
            &plc::Request {
                method: if request.method() == Method::POST { "POST" } else { "GET" },
                path: &path,
                query: request.uri().query().unwrap_or_default(),
                body: request.body(),
            },
        );
        if self.plc_is_mute.load(Ordering::Relaxed) {
            return upstream("no answer in time");
        }
        let mut response = Response::new(Bytes::from(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
        Ok(response)
    }

    /// The did:plc directory loses all it knows of a DID.
    pub fn forget_did(&self, did: &str) {
        let directory = self.directory.lock().unwrap();
        directory.execute("DELETE FROM operation WHERE did = ?", &[did.into()]).unwrap();
    }

    /// What the did:plc directory answers, faults or not.
    pub fn ask_plc(&self, now_us: i64, request: &plc::Request<'_>) -> plc::Response {
        plc::handle(&*self.directory.lock().unwrap(), now_us, request)
    }

    fn require_dns(&self) -> Result<(), HostError> {
        let missed = |left: usize| left.checked_sub(1);
        let is_missed = self.dns_misses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, missed).is_ok();
        if is_missed || self.dns_is_down.load(Ordering::Relaxed) {
            return Err(HostError::Upstream("the DNS does not answer".to_owned()));
        }
        Ok(())
    }

    pub(super) fn txt_records(&self, name: &str) -> Result<Vec<String>, HostError> {
        self.require_dns()?;
        Ok(self.txt.lock().unwrap().get(name).cloned().unwrap_or_default())
    }

    pub(super) fn has_address(&self, name: &str) -> Result<bool, HostError> {
        self.require_dns()?;
        let at = format!("https://{name}/");
        let is_served = self.documents.lock().unwrap().keys().any(|address| address.starts_with(&at));
        Ok(is_served || self.servers_down.lock().unwrap().contains(name))
    }
}
