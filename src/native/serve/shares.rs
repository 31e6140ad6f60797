//! What there is of each thing that clients hold, and what one address may have of it.
//!
//! Whoever takes more than its share is refused, at once; nobody waits for what somebody else does not give back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;

use super::super::descriptors::Descriptors;
use super::Trouble;
use super::client::Hops;
use crate::host::{BodyRoom, Net, NoRoom};
use crate::limits::{
    ANSWER_BYTES_HELD_MAX, BODY_BYTES_HELD_MAX, COMPUTE_WAITING_MAX, EXPORTS_ASKED_MAX, EXPORTS_MAX,
    FIREHOSE_SUBSCRIBERS_MAX,
};

/// How many addresses have to come together to take all.
const ADDRESSES_TO_FILL: usize = 8;

/// What is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Open connections.
    Connection,
    /// Subscriptions to the event stream.
    Subscription,
    /// Repos that are downloaded, or wait for their turn.
    Export,
    /// Bytes of answers that wait to be read.
    AnswerBytes,
    /// Bytes of requests that are still coming, or being answered.
    BodyBytes,
    /// Blobs on their way in or out.
    Blob,
    /// Calls that have something slow computed, from their first byte on.
    Computation,
    /// Calls that go on to another service.
    Exchange,
}

impl Kind {
    /// What it is, for who is refused.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::Subscription => "subscriptions",
            Self::Export => "downloads of repos",
            Self::AnswerBytes => "answers that are not read yet",
            Self::BodyBytes => "requests that are not answered yet",
            Self::Blob => "blobs on their way",
            Self::Computation => "sign-ins, sign-ups and archives",
            Self::Exchange => "calls to other services",
        }
    }
}

/// How much there is of each.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    /// Open connections.
    pub connections: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Repos downloaded at a time, or waited for.
    pub exports: usize,
    /// Those of them that have a turn.
    pub export_turns: usize,
    /// Bytes of answers.
    pub answer_bytes: usize,
    /// Bytes of requests' bodies.
    pub body_bytes: usize,
    /// Blobs.
    pub blobs: usize,
    /// Computations that wait.
    pub computations: usize,
    /// Calls to other services.
    pub exchanges: usize,
}

impl Totals {
    /// What a process may give that has these descriptors.
    #[must_use]
    pub fn of(descriptors: Descriptors) -> Self {
        let Descriptors { connections, blobs, exchanges, .. } = descriptors;
        Self {
            connections,
            subscriptions: FIREHOSE_SUBSCRIBERS_MAX.min(connections / 2),
            exports: EXPORTS_ASKED_MAX,
            export_turns: EXPORTS_MAX,
            answer_bytes: ANSWER_BYTES_HELD_MAX,
            body_bytes: BODY_BYTES_HELD_MAX,
            blobs,
            computations: COMPUTE_WAITING_MAX,
            exchanges,
        }
    }

    fn total(&self, kind: Kind) -> usize {
        match kind {
            Kind::Connection => self.connections,
            Kind::Subscription => self.subscriptions,
            Kind::Export => self.exports,
            Kind::AnswerBytes => self.answer_bytes,
            Kind::BodyBytes => self.body_bytes,
            Kind::Blob => self.blobs,
            // Most of their time these wait for their client, and the queue itself has an end.
            Kind::Computation => usize::MAX,
            Kind::Exchange => self.exchanges,
        }
    }

    /// What one address may have: of downloads, no more than its part of the turns, or few could take all of those.
    fn of_one(&self, kind: Kind) -> usize {
        match kind {
            Kind::Export => self.export_turns / ADDRESSES_TO_FILL,
            Kind::Computation => self.computations / ADDRESSES_TO_FILL,
            _ => self.total(kind) / ADDRESSES_TO_FILL,
        }
    }
}

/// Why a share is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The address has what one may have.
    Yours(Net),
    /// All is given.
    All,
}

/// Who has how much.
#[derive(Debug)]
pub struct Shares {
    totals: Totals,
    hops: Hops,
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    all: Amounts,
    nets: HashMap<Net, Amounts>,
    /// What there was nothing left of, and was asked for.
    full: HashMap<&'static str, Trouble>,
}

/// How much of each [`Kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amounts([usize; 8]);

impl Amounts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        let Self(
            [connections, subscriptions, exports, answer_bytes, body_bytes, blobs, computations, exchanges],
        ) = self;
        match kind {
            Kind::Connection => connections,
            Kind::Subscription => subscriptions,
            Kind::Export => exports,
            Kind::AnswerBytes => answer_bytes,
            Kind::BodyBytes => body_bytes,
            Kind::Blob => blobs,
            Kind::Computation => computations,
            Kind::Exchange => exchanges,
        }
    }
}

impl Shares {
    /// Nothing is given yet.
    #[must_use]
    pub fn new(totals: Totals, hops: Hops) -> Arc<Self> {
        Arc::new(Self { totals, hops, given: Mutex::default() })
    }

    /// Whose request it is that came over a connection from `peer`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Net {
        self.hops.of_request(peer, headers)
    }

    /// A connection from `peer`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn connect(self: &Arc<Self>, peer: IpAddr) -> Result<Share, Refused> {
        self.give(Kind::Connection, self.hops.of_connection(peer), 1)
    }

    /// So much for a client.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn take(self: &Arc<Self>, kind: Kind, client: Net, amount: usize) -> Result<Share, Refused> {
        self.give(kind, Some(client), amount)
    }

    fn give(self: &Arc<Self>, kind: Kind, net: Option<Net>, amount: usize) -> Result<Share, Refused> {
        self.count(kind, net, amount)?;
        Ok(Share { shares: Arc::clone(self), kind, net, amount })
    }

    fn count(&self, kind: Kind, net: Option<Net>, amount: usize) -> Result<(), Refused> {
        let mut given = self.given();
        let all = *given.all.of(kind) + amount;
        if all > self.totals.total(kind) {
            return Err(Refused::All);
        }
        if let Some(net) = net {
            let own = given.nets.entry(net).or_default().of(kind);
            // What is larger than a share is still had, alone.
            if *own > 0 && *own + amount > self.totals.of_one(kind) {
                return Err(Refused::Yours(net));
            }
            *own += amount;
        }
        *given.all.of(kind) = all;
        Ok(())
    }

    /// Counts a refusal, and says so.
    pub(super) fn note(&self, kind: Kind, refused: Refused) {
        let what = kind.name();
        metrics::counter!("zap_shares_refused_total", "of" => what).increment(1);
        match refused {
            Refused::Yours(net) => tracing::debug!(%net, what, "an address has its share"),
            Refused::All => {
                let mut given = self.given();
                let full = given.full.entry(what).or_default();
                if full.is_due() {
                    tracing::warn!(what, times = full.count(), "all shares are given");
                }
            }
        }
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client has, until this is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    kind: Kind,
    net: Option<Net>,
    amount: usize,
}

impl Share {
    /// Takes more of the same.
    fn grow(&mut self, amount: usize) -> Result<(), Refused> {
        self.shares.count(self.kind, self.net, amount)?;
        self.amount += amount;
        Ok(())
    }
}

/// What the body of one request has of all that bodies may take.
pub(super) struct BodyShare(Mutex<Share>);

impl BodyShare {
    pub(super) fn new(shares: &Arc<Shares>, client: Net) -> Self {
        let (shares, kind) = (Arc::clone(shares), Kind::BodyBytes);
        Self(Mutex::new(Share { shares, kind, net: Some(client), amount: 0 }))
    }
}

impl BodyRoom for BodyShare {
    fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut share = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        share.grow(bytes).map_err(|refused| {
            share.shares.note(Kind::BodyBytes, refused);
            match refused {
                Refused::Yours(_) => NoRoom::Yours,
                Refused::All => NoRoom::All,
            }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut given = self.shares.given();
        *given.all.of(self.kind) -= self.amount;
        let Some(net) = self.net else { return };
        if let Some(own) = given.nets.get_mut(&net) {
            *own.of(self.kind) -= self.amount;
            if *own == Amounts::default() {
                given.nets.remove(&net);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Arc<Shares> {
        let totals = Totals {
            connections: 16,
            subscriptions: 8,
            exports: 80,
            export_turns: 16,
            answer_bytes: 800,
            body_bytes: 800,
            blobs: 8,
            computations: 16,
            exchanges: 16,
        };
        Shares::new(totals, Hops::OnThisMachine)
    }

    fn net(last: u8) -> Net {
        Net::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_address_has_its_share_and_gets_it_again_when_it_gives_it_back() {
        let shares = shares();
        let peer = IpAddr::from([192, 0, 2, 1]);
        let both = [shares.connect(peer).unwrap(), shares.connect(peer).unwrap()];
        assert_eq!(shares.connect(peer).unwrap_err(), Refused::Yours(net(1)));
        let other = shares.connect(IpAddr::from([192, 0, 2, 2])).unwrap();
        drop(both);
        drop((shares.connect(peer).unwrap(), other));
        assert!(shares.given().nets.is_empty(), "addresses that have nothing are forgotten");
    }

    #[test]
    fn all_addresses_together_have_no_more_than_there_is() {
        let shares = shares();
        let taken: Vec<_> = (0..8).map(|n| shares.take(Kind::Subscription, net(n), 1).unwrap()).collect();
        assert_eq!(shares.take(Kind::Subscription, net(9), 1).unwrap_err(), Refused::All);
        // A proxy brings the connections of many.
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let through: Vec<_> = (0..16).map(|_| shares.connect(loopback).unwrap()).collect();
        assert_eq!(shares.connect(loopback).unwrap_err(), Refused::All);
        drop((taken, through));
        assert_eq!(shares.given().all, Amounts::default());
    }

    #[test]
    fn what_is_larger_than_a_share_is_had_alone() {
        let shares = shares();
        let large = shares.take(Kind::AnswerBytes, net(1), 300).unwrap();
        assert_eq!(shares.take(Kind::AnswerBytes, net(1), 1).unwrap_err(), Refused::Yours(net(1)));
        drop(large);
        shares.take(Kind::AnswerBytes, net(1), 1).unwrap();
    }

    #[test]
    fn one_address_has_its_part_of_the_turns_and_not_of_those_who_wait() {
        let shares = shares();
        let own = [(); 2].map(|()| shares.take(Kind::Export, net(1), 1).unwrap());
        assert_eq!(shares.take(Kind::Export, net(1), 1).unwrap_err(), Refused::Yours(net(1)));
        drop(own);
    }

    #[test]
    fn one_address_has_its_part_of_the_queue_however_many_calls_are_open() {
        let shares = shares();
        let take = |last| shares.take(Kind::Computation, net(last), 1);
        let own = [take(1).unwrap(), take(1).unwrap()];
        assert_eq!(take(1).unwrap_err(), Refused::Yours(net(1)));
        let others: Vec<_> = (2..100).map(|last| take(last).unwrap()).collect();
        drop((own, others));
        take(1).unwrap();
    }

    #[test]
    fn a_body_takes_what_comes_of_it_and_gives_all_back() {
        let shares = shares();
        let bodies = [BodyShare::new(&shares, net(1)), BodyShare::new(&shares, net(1))];
        for body in &bodies {
            body.take(25).unwrap();
            body.take(25).unwrap();
        }
        assert_eq!(bodies[0].take(1), Err(NoRoom::Yours));
        let others: Vec<_> = (2..9).map(|n| shares.take(Kind::BodyBytes, net(n), 100).unwrap()).collect();
        assert_eq!(BodyShare::new(&shares, net(9)).take(1), Err(NoRoom::All));
        drop((bodies, others));
        assert_eq!(shares.given().all, Amounts::default());
        assert!(shares.given().nets.is_empty());
    }
}
