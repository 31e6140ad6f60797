//! DNS: TXT records (`_atproto.` for handles, `_lexicon.` for schemas), and the addresses of strangers' servers. No question
//! takes a thread, however long it is not answered.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::host::HostError;
use crate::limits::{DNS_TIMEOUT_SECONDS, DNS_TXT_RECORDS_MAX};

/// Asks the machine's own resolvers, with a cache that honours TTLs.
pub struct Dns {
    /// `None` when the machine has no resolver configured; then every question fails and says so.
    resolver: Option<TokioResolver>,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

impl Dns {
    /// With the system's configuration. Never fails: a machine without DNS still serves what it has.
    #[must_use]
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no DNS configuration was found: handles of others are checked by HTTP alone");
        }
        Self { resolver: resolver.ok() }
    }

    /// The addresses of a host; none when it is not known, or nobody answers in time.
    pub async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let Some(resolver) = &self.resolver else { return Vec::new() };
        let lookup = tokio::time::timeout(Duration::from_secs(DNS_TIMEOUT_SECONDS), resolver.lookup_ip(host));
        match lookup.await {
            Ok(Ok(found)) => found.iter().collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    /// The TXT records of `name`, the parts of each put together; none is an empty list.
    ///
    /// # Errors
    /// [`HostError::Upstream`] when no resolver answers in time.
    pub async fn txt_records(&self, name: &str) -> Result<Vec<String>, HostError> {
        let Some(lookup) = self.lookup(name, RecordType::TXT).await? else { return Ok(Vec::new()) };
        Ok(lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(joined(&txt.txt_data)),
                _ => None,
            })
            .take(DNS_TXT_RECORDS_MAX)
            .collect())
    }

    /// Whether `name` has an address of either kind.
    ///
    /// # Errors
    /// [`HostError::Upstream`] when no resolver answers in time.
    pub async fn has_address(&self, name: &str) -> Result<bool, HostError> {
        for kind in [RecordType::A, RecordType::AAAA] {
            let found = self.lookup(name, kind).await?;
            if found.is_some_and(|found| found.answers().iter().any(|record| record.record_type() == kind)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The records of a kind; `None` when there are none, or no such name.
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Option<Lookup>, HostError> {
        let failed = |reason: &str| HostError::Upstream(format!("DNS of {name}: {reason}"));
        let resolver = self.resolver.as_ref().ok_or_else(|| failed("no resolver is configured"))?;
        // The dot at the end: the machine's search domains are no part of the protocol.
        let absolute = format!("{}.", name.trim_end_matches('.'));
        let lookup = resolver.lookup(absolute, kind);
        match tokio::time::timeout(Duration::from_secs(DNS_TIMEOUT_SECONDS), lookup).await {
            Err(_) => Err(failed("no answer in time")),
            Ok(Err(error)) if error.is_no_records_found() || error.is_nx_domain() => Ok(None),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Ok(Ok(lookup)) => Ok(Some(lookup)),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self::new()
    }
}

/// A TXT record is a list of short strings that mean one long one.
fn joined(parts: &[Box<[u8]>]) -> String {
    String::from_utf8_lossy(&parts.concat()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: names that nobody answers for take the threads that files are written with.
    #[test]
    fn a_name_is_looked_up_without_a_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (free, busy) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || busy.recv());
        let within = Duration::from_secs(DNS_TIMEOUT_SECONDS + 1);
        let found = runtime.block_on(async {
            let dns = Dns::new();
            tokio::time::timeout(within, dns.addresses("nobody.example.com")).await
        });
        drop(free);
        assert!(found.is_ok());
    }

    #[test]
    fn the_parts_of_a_record_are_one_text() {
        let parts: Vec<Box<[u8]>> = vec![b"did=did:plc:".to_vec().into(), b"abc".to_vec().into()];
        assert_eq!(joined(&parts), "did=did:plc:abc");
        assert_eq!(joined(&[vec![0xff].into()]), "\u{fffd}");
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_an_error_and_no_panic() {
        let dns = Dns::new();
        for name in ["", "..", &"a".repeat(300), "_atproto.exa mple\0"] {
            let _ = dns.txt_records(name).await;
        }
    }
}
