//! What comes into a cell besides its command: time, randomness, and the network it belongs to.

use rand_core::CryptoRng;

use crate::rate_limit::Rates;
use crate::vault::MasterKey;

/// The world, as a cell may see it during one command.
pub struct Env<'a> {
    /// Microseconds since the Unix epoch.
    pub now_us: i64,
    /// Cryptographic randomness.
    pub rng: &'a mut dyn CryptoRng,
    /// The network's own facts and secrets.
    pub network: &'a Network,
}

impl Env<'_> {
    /// Seconds since the Unix epoch.
    pub fn now_seconds(&self) -> i64 {
        self.now_us.div_euclid(1_000_000)
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// What all cells of a network share.
#[derive(Debug)]
pub struct Network {
    /// The service's DID, `did:web:` of the public URL's host.
    pub service_did: String,
    /// Where clients reach the service: scheme and authority, no path, no trailing slash.
    pub public_url: String,
    /// Domains under which the service gives handles, each with its leading dot.
    pub handle_domains: Vec<String>,
    /// Whether an account needs an invite code.
    pub invite_required: bool,
    /// Whether the server can send mail.
    pub sends_mail: bool,
    /// The did:plc directory, without a trailing slash.
    pub plc_url: String,
    /// The operator's key, under which all keys at rest are wrapped.
    pub master_key: MasterKey,
    /// Points that an account's writes may take: a creation three, an update two, a deletion one.
    pub write_rates: Rates,
    /// Passwords that one address may try on one account.
    pub sign_in_rates: Rates,
}
