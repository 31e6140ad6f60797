//! What the event stream costs: the sequencer alone, without the writes that make events.
//!
//! `cargo bench --bench firehose` starts the server here and the subscribers in a second process (this program again),
//! so that this process's CPU time is the server's. It prints CPU per delivered event, and what arrived and when: an
//! event's `seq` is the microsecond it was appended at.
#![allow(missing_docs, clippy::print_stdout, reason = "a measuring tool talks to a terminal")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "it may stop when it fails")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zap::event::EventKind;
use zap::event::{Action, CommitEvent, Event, RepoOp};
use zap::native::sequencer::{Options, Outgoing, SequencerHandle};
use zap::seam::Request as _;
use zap::sequencer::{GetHead, OutboxEvent};

/// About what a post's commit takes: its record, the commit, three or four tree nodes.
const BLOCKS_BYTES: usize = 4000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("subscribe") => runtime.block_on(subscribe(&arguments[2..])),
        _ => runtime.block_on(measure()),
    }
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new(folder.path().join("sequencer.sqlite"), Duration::from_secs(3600));
    let handle = SequencerHandle::start(options).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer).with_state(handle.clone());
    let listener = listener.tap_io(|io| drop(io.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut id = 0;
    for (subscribers, rate) in [(1, 50), (1, 1000), (100, 50), (100, 200), (100, 1000)] {
        let count = rate * 6;
        let child = start_subscribers(address, "live", subscribers, count);
        while handle.subscribers() < subscribers {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let cpu = cpu_seconds();
        tokio::task::block_in_place(|| produce(&handle, &mut id, rate, count));
        let heard = finish(child);
        report(&format!("{subscribers} live, {rate}/s"), cpu, subscribers * count, &heard);
        while handle.subscribers() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    tokio::task::block_in_place(|| produce(&handle, &mut id, 1_000_000, 40_000));
    // Answered behind all that was sent.
    handle.call(GetHead {}.into_command()).await.unwrap();
    for subscribers in [1, 10] {
        let cpu = cpu_seconds();
        let count = usize::try_from(id).unwrap();
        let heard = finish(start_subscribers(address, "0", subscribers, count));
        report(&format!("{subscribers} from cursor 0"), cpu, subscribers * count, &heard);
    }
    handle.stop();
}

async fn answer(State(handle): State<SequencerHandle>, request: Request) -> Response {
    let cursor = request.uri().query().and_then(|query| query.strip_prefix("cursor=")?.parse().ok());
    match handle.subscribe(cursor, request).await {
        Ok(response) => response,
        Err(error) => error.to_string().into_response(),
    }
}

/// Sends `count` events at `rate` a second, as a shard does after each commit.
fn produce(handle: &SequencerHandle, id: &mut i64, rate: usize, count: usize) {
    let blocks = vec![0x55; BLOCKS_BYTES];
    let cid = "bafyreib2rxk3rybk3aobmv5cjuql3bm2twh4jo5uxgf5kpqcsgz7soitae".parse().unwrap();
    let synced = Arc::default();
    let started = Instant::now();
    for number in 0..count {
        let due = Duration::from_secs_f64(number as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        *id += 1;
        let path = "app.bsky.feed.post/3mbv4k2ee2c2a";
        let frame = CommitEvent {
            repo: "did:plc:44ybard66vv44zksje25o7dz",
            time: "2026-11-23T00:00:00.000Z",
            rev: "3mbv4k2ee2c2a",
            since: Some("3mbv4k2ee2b2a"),
            commit: cid,
            prev_data: Some(cid),
            blocks: &blocks,
            ops: vec![RepoOp { action: Action::Create, path, cid: Some(cid), prev: None }],
        }
        .encode();
        let did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
        let event = OutboxEvent { did, outbox_id: *id, kind: EventKind::Commit, frame };
        handle
            .send(handle.reserve().unwrap(), vec![Outgoing { event, synced: Arc::clone(&synced) }])
            .unwrap();
    }
}

fn start_subscribers(address: SocketAddr, cursor: &str, subscribers: usize, count: usize) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["subscribe", &address.to_string(), cursor, &subscribers.to_string(), &count.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(mut child: Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success(), "the subscribers failed");
    line.trim().to_owned()
}

fn report(what: &str, cpu_before: f64, delivered: usize, heard: &str) {
    let cpu = cpu_seconds() - cpu_before;
    println!("{what:24} {:8.2} µs CPU a delivered event; {heard}", cpu * 1e6 / delivered as f64);
}

/// This process's user and system time.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// The other process: connects, counts to `count` on each socket, prints the delays.
async fn subscribe(arguments: &[String]) {
    let [address, cursor, subscribers, count] = arguments else { panic!("four arguments") };
    let (subscribers, count): (usize, usize) = (subscribers.parse().unwrap(), count.parse().unwrap());
    let query = if cursor == "live" { String::new() } else { format!("?cursor={cursor}") };
    let request = format!(
        "GET /xrpc/com.atproto.sync.subscribeRepos{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let started = Instant::now();
    let tasks: Vec<_> =
        (0..subscribers).map(|_| tokio::spawn(follow(address.clone(), request.clone(), count))).collect();
    let mut delays = Vec::new();
    for task in tasks {
        delays.extend(task.await.unwrap());
    }
    delays.sort_unstable();
    let at = |part: usize| delays[(delays.len() - 1) * part / 100] as f64 / 1000.0;
    let rate = (subscribers * count) as f64 / started.elapsed().as_secs_f64();
    println!("p50 {:.2} ms, p99 {:.2} ms, {rate:.0} events/s arrived", at(50), at(99));
}

async fn follow(address: String, request: String, count: usize) -> Vec<i64> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut delays, mut events, mut upgraded) = (Vec::with_capacity(1 << 20), vec![], 0, false);
    while events < count {
        assert!(socket.read_buf(&mut buffer).await.unwrap() > 0, "closed after {events} events");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut at = 0;
        if !upgraded {
            let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            (at, upgraded) = (end + 4, true);
        }
        while let Some((start, end)) = message(&buffer, at) {
            let seq = Event::decode(&buffer[start..end]).unwrap().seq().unwrap();
            delays.push(i64::try_from(now.as_micros()).unwrap() - seq);
            (at, events) = (end, events + 1);
        }
        buffer.drain(..at);
    }
    delays
}

/// Where the message that begins at `at` has its payload, once it is there.
fn message(buffer: &[u8], at: usize) -> Option<(usize, usize)> {
    let length = usize::from(*buffer.get(at + 1)?);
    let (start, length) = match length {
        126 => (at + 4, usize::from(u16::from_be_bytes(buffer.get(at + 2..at + 4)?.try_into().unwrap()))),
        127 => panic!("a larger event than any sent"),
        length => (at + 2, length),
    };
    (start + length <= buffer.len()).then_some((start, start + length))
}
