//! Clients that take what they can: each kind is one of their ways.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use harness::wire::{self, SUBSCRIBE, ask};
use harness::{Account, Client};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    Silent,
    HalfAHead,
    DrippingHead,
    DrippingBody,
    UnreadList,
    UnreadExport,
    UnreadStream,
    LeavesRecord,
    LeavesBlob,
    LeavesSignUp,
    LeavesExport,
    ManySignIns,
    ManyPaths,
    Garbage,
    HugeBody,
    Bomb,
}

use Stranger::*;

/// Each, and how many of it come at once.
pub(super) const STRANGERS: [(Stranger, u64); 16] = [
    (Silent, 400),
    (HalfAHead, 100),
    (DrippingHead, 40),
    (DrippingBody, 40),
    (UnreadList, 60),
    (UnreadExport, 80),
    (UnreadStream, 60),
    (LeavesRecord, 40),
    (LeavesBlob, 20),
    (LeavesSignUp, 8),
    (LeavesExport, 40),
    (ManySignIns, 150),
    (ManyPaths, 400),
    (Garbage, 150),
    (HugeBody, 12),
    (Bomb, 12),
];

/// Compressed, it is a thousandth of this.
const BOMB_BYTES: usize = 32 << 20;
const HUGE_BYTES: usize = 1 << 30;

/// Where those come from who send bytes: nobody honest has this address.
const ABROAD: &str = "192.0.2.99";

/// Whom they came for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// One of theirs, with some megabytes of records.
    pub(super) mallory: Account,
}

impl Stranger {
    /// Comes with others like it, each from one of a few addresses.
    ///
    /// Whatever they get, it is no answer of a server that broke.
    pub(super) async fn come(self, target: Target, many: u64, mut random: Random) {
        let each: Vec<_> = (0..many).map(|_| random.fork()).collect();
        let statuses = join_all(each.into_iter().map(|random| self.visit(&target, random))).await;
        // Who was not answered came to a server that was down, or left before.
        let broken: Vec<u16> =
            statuses.into_iter().flatten().filter(|status| matches!(status, 500 | 502 | 504)).collect();
        assert!(broken.is_empty(), "{self:?}: {broken:?}");
    }

    /// The status of the answer, 0 where there was none.
    async fn visit(self, target: &Target, mut random: Random) -> Result<u16> {
        let Target { address, mallory } = target;
        let address = *address;
        let from = format!("192.0.2.{}", random.between(1, 6));
        let stay = Duration::from_millis(random.between(2_000, 8_000));
        let unread = match self {
            UnreadStream => format!("{SUBSCRIBE}?cursor=0"),
            UnreadList => {
                format!(
                    "com.atproto.repo.listRecords?repo={}&collection=test.zap.note&limit=100",
                    mallory.did
                )
            }
            _ => format!("com.atproto.sync.getRepo?did={}", mallory.did),
        };
        match self {
            Silent => stay_on(wire::connect(address).await?, stay).await,
            HalfAHead => {
                let head = "GET /xrpc/com.atproto.server.describeServer HTTP/1.1\r\nhost: localhost\r\nx-a";
                stay_on(wire::send(address, &head[..random.between(1, 60) as usize]).await?, stay).await
            }
            DrippingHead => drip(address, "GET /xrpc/_health HTTP/1.1\r\n", b"x", stay).await,
            DrippingBody => {
                let head = head("com.atproto.server.createSession", "application/json", None, 100_000);
                drip(address, &format!("{head}{{"), b" ", stay).await
            }
            UnreadList | UnreadExport | UnreadStream => {
                let mut stream = ask(address, &from, &unread).await?;
                let status = wire::status(&mut stream).await;
                stay_on(stream, stay).await?;
                Ok(status)
            }
            LeavesExport => {
                let mut stream = ask(address, &from, &unread).await?;
                let mut some = vec![0; random.between(1, 100_000) as usize];
                let status = wire::status(&mut stream).await;
                drop(timeout(stay, stream.read_exact(&mut some)).await);
                Ok(status)
            }
            LeavesRecord => {
                let record = json!({ "$type": "test.zap.note", "text": "x".repeat(20_000) });
                let input = json!({ "repo": mallory.did, "collection": "test.zap.note", "record": record });
                let request = post("com.atproto.repo.createRecord", Some(mallory), &input);
                leave(address, &request, &mut random).await
            }
            LeavesBlob => {
                let method = "com.atproto.repo.uploadBlob";
                let mut request =
                    head(method, "application/octet-stream", Some(mallory), 1_000_000).into_bytes();
                request.resize(request.len() + 1_000_000, 7);
                leave(address, &request, &mut random).await
            }
            LeavesSignUp => {
                let name = format!("gone{:016x}", random.next());
                let input = json!({
                    "handle": format!("{name}.test"), "email": format!("{name}@example.com"), "password": "correct horse"
                });
                leave(address, &post("com.atproto.server.createAccount", None, &input), &mut random).await
            }
            ManySignIns => {
                let name = format!("nobody{:x}.test", random.next());
                let input = json!({ "identifier": name, "password": "wrong horse" });
                let mut client = Client::new(address).coming_from(&from);
                Ok(client.post("com.atproto.server.createSession", None, &input).await?.status)
            }
            ManyPaths => {
                let path = match random.between(0, 3) {
                    0 => format!("/{:x}", random.next()),
                    1 => format!("/xrpc/com.atproto.sync.x{:x}", random.next()),
                    _ => format!("/xrpc/com.atproto.sync.getRepo?did=did:plc:{:x}", random.next()),
                };
                Ok(Client::new(address).coming_from(&from).get(&path, None).await?.status)
            }
            Garbage => {
                let bytes: Vec<u8> =
                    (0..random.between(1, 500)).flat_map(|_| random.next().to_le_bytes()).collect();
                let mut stream = wire::send(address, bytes).await?;
                Ok(timeout(stay, wire::status(&mut stream)).await.unwrap_or(0))
            }
            HugeBody => huge(address, mallory).await,
            Bomb => bomb(address, mallory).await,
        }
    }
}

/// Does nothing more on a connection, and leaves.
async fn stay_on(stream: TcpStream, stay: Duration) -> Result<u16> {
    sleep(stay).await;
    drop(stream);
    Ok(0)
}

/// A byte a second.
async fn drip(address: SocketAddr, start: &str, byte: &[u8], stay: Duration) -> Result<u16> {
    let (mut reads, mut writes) = wire::send(address, start).await?.into_split();
    let dripping = async {
        while writes.write_all(byte).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = dripping => Ok(0),
        () = sleep(stay) => Ok(0),
        status = wire::status(&mut reads) => Ok(status),
    }
}

/// Sends a part of a request, or all of it, and is gone without a goodbye.
async fn leave(address: SocketAddr, request: &[u8], random: &mut Random) -> Result<u16> {
    let part = random.between(1, request.len() as u64 + 1) as usize;
    let stream = wire::send(address, &request[..part]).await?;
    sleep(Duration::from_millis(random.between(0, 50))).await;
    stream.set_zero_linger()?;
    Ok(0)
}

/// A body that is announced as a gigabyte; how far it gets is up to the server.
async fn huge(address: SocketAddr, mallory: &Account) -> Result<u16> {
    let head = head("com.atproto.repo.createRecord", "application/json", Some(mallory), HUGE_BYTES);
    let (mut reads, mut writes) = wire::send(address, head).await?.into_split();
    let block = vec![b' '; 64 << 10];
    let sending = async {
        while writes.write_all(&block).await.is_ok() {}
        std::future::pending().await
    };
    tokio::select! { status = wire::status(&mut reads) => Ok(status), () = sending => Ok(0) }
}

/// A small body that would be a large one.
async fn bomb(address: SocketAddr, mallory: &Account) -> Result<u16> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..BOMB_BYTES >> 16 {
        packer.write_all(&[b' '; 1 << 16])?;
    }
    let body = packer.finish()?;
    let head = head("com.atproto.repo.createRecord", "application/json", Some(mallory), body.len());
    let head = head.replace("\r\n\r\n", "\r\ncontent-encoding: gzip\r\n\r\n");
    let mut stream = wire::send(address, [head.as_bytes(), &body].concat()).await?;
    Ok(wire::status(&mut stream).await)
}

fn post(method: &str, who: Option<&Account>, input: &Value) -> Vec<u8> {
    let body = input.to_string();
    [head(method, "application/json", who, body.len()), body].concat().into_bytes()
}

fn head(method: &str, content_type: &str, who: Option<&Account>, length: usize) -> String {
    let who = who.map(|who| format!("authorization: {}\r\n", who.authorization)).unwrap_or_default();
    format!(
        "POST /xrpc/{method} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {ABROAD}\r\n\
         cf-connecting-ip: {ABROAD}\r\n{who}content-type: {content_type}\r\n\
         content-length: {length}\r\n\r\n"
    )
}
