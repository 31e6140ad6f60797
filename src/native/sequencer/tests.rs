//! The whole way from an outbox to a socket on loopback.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use axum::serve::ListenerExt as _;
use futures::StreamExt as _;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::*;
use crate::event::EventKind;
use crate::event::{AccountEvent, Event, SyncEvent};
use crate::host::SubscribeError;
use crate::seam::Request as _;
use crate::sequencer::{Append, Expire, Start};

const DID: &str = "did:plc:44ybard66vv44zksje25o7dz";

struct Server {
    _folder: tempfile::TempDir,
    options: Options,
    handle: SequencerHandle,
    address: SocketAddr,
    mark: Arc<AtomicI64>,
}

impl Server {
    async fn start(ring_bytes_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let window = Duration::from_secs(3600);
        let options =
            Options { ring_bytes_max, ..Options::new(folder.path().join("sequencer.sqlite"), window) };
        Self::of(folder, options).await
    }

    async fn of(folder: tempfile::TempDir, options: Options) -> Self {
        let handle = SequencerHandle::start(options.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|io| io.set_nodelay(true).unwrap());
        async fn subscribe(
            State(handle): State<SequencerHandle>,
            request: Request,
        ) -> axum::response::Response {
            let cursor = request.uri().query().map(|query| query["cursor=".len()..].parse().unwrap());
            match handle.subscribe(cursor, request).await {
                Ok(response) => response,
                Err(error) => (http::StatusCode::UPGRADE_REQUIRED, error.to_string()).into_response(),
            }
        }
        let router = axum::Router::new().fallback(subscribe).with_state(handle.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { _folder: folder, options, handle, address, mark: Arc::default() }
    }

    fn outgoing(&self, outbox_id: i64, size: usize) -> Outgoing {
        let blocks = vec![0x55; size];
        let body =
            SyncEvent { did: DID, time: "2026-11-23T00:00:00Z", rev: "3mbv4k2ee2c2a", blocks: &blocks };
        let event =
            OutboxEvent { did: DID.parse().unwrap(), outbox_id, kind: EventKind::Sync, frame: body.encode() };
        Outgoing { event, synced: Arc::clone(&self.mark) }
    }

    fn send(&self, events: Vec<Outgoing>) -> Result<(), Stopped> {
        self.handle.send(self.handle.reserve().unwrap(), events)
    }

    async fn connect(&self, cursor: Option<i64>) -> Client {
        let query = cursor.map_or(String::new(), |cursor| format!("?cursor={cursor}"));
        let url = format!("ws://{}/xrpc/com.atproto.sync.subscribeRepos{query}", self.address);
        Client(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    /// Appends through the cell, so that it is done when this returns.
    async fn append(&self, ids: std::ops::RangeInclusive<i64>, size: usize) -> Vec<i64> {
        let events = ids.map(|id| self.outgoing(id, size).event).collect();
        match self.handle.call(Append { events }.into_command()).await.unwrap() {
            Reply::Append(seqs) => seqs.into_iter().map(Option::unwrap).collect(),
            _ => unreachable!(),
        }
    }
}

struct Client(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>);

#[derive(Debug, PartialEq)]
enum Heard {
    Seq(i64),
    Info(String),
    Error(String),
    End,
}

impl Client {
    async fn next(&mut self) -> Heard {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("in time");
            match message {
                Some(Ok(Message::Binary(bytes))) => {
                    return match Event::decode(&bytes).unwrap() {
                        Event::Info { name, .. } => Heard::Info(name.to_owned()),
                        Event::Error { error, .. } => Heard::Error(error.to_owned()),
                        event => Heard::Seq(event.seq().unwrap()),
                    };
                }
                Some(Ok(Message::Close(_))) | None => return Heard::End,
                Some(Err(WsError::Protocol(_) | WsError::ConnectionClosed)) => return Heard::End,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    async fn seqs(&mut self, count: usize) -> Vec<i64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            match self.next().await {
                Heard::Seq(seq) => seqs.push(seq),
                other => panic!("{other:?} after {} events", seqs.len()),
            }
        }
        seqs
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_decides_where_the_stream_begins() {
    let server = Server::start(1 << 20).await;
    let seqs = server.append(1..=5, 100).await;
    let mut live = server.connect(None).await;
    let mut all = server.connect(Some(0)).await;
    let mut some = server.connect(Some(seqs[2])).await;
    let mut last = server.connect(Some(seqs[4])).await;
    assert_eq!(all.seqs(5).await, seqs);
    assert_eq!(some.seqs(2).await, seqs[3..]);
    let more = server.append(6..=8, 100).await;
    for client in [&mut live, &mut all, &mut some, &mut last] {
        assert_eq!(client.seqs(3).await, more);
    }
    let mut future = server.connect(Some(more[2] + 1)).await;
    assert_eq!(future.next().await, Heard::Error("FutureCursor".to_owned()));
    assert_eq!(future.next().await, Heard::End);

    let expire = Expire { before_us: seqs[3], bytes_max: u64::MAX, limit: 100 };
    server.handle.call(expire.into_command()).await.unwrap();
    // A ring that no longer has them, as after a restart.
    server.handle.stop();
    assert_eq!(live.next().await, Heard::End);
    let restarted = Server { handle: SequencerHandle::start(server.options.clone()).unwrap(), ..server };
    assert_eq!(restarted.handle.last_seq(), more[2]);
    let head = restarted.handle.head();
    assert_eq!(head, Head { last_seq: more[2], expired_seq: seqs[2] });
    assert_eq!(head.start(Some(seqs[1])), Start::Outdated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_cursor_gets_a_word_and_the_whole_window() {
    let server = Server::start(300).await; // The ring has room for one event.
    let seqs = server.append(1..=5, 100).await;
    let rest = server.append(6..=9, 100).await;
    server
        .handle
        .call(Expire { before_us: seqs[3], bytes_max: u64::MAX, limit: 100 }.into_command())
        .await
        .unwrap();
    let kept: Vec<i64> = seqs[3..].iter().chain(&rest).copied().collect();
    let mut outdated = server.connect(Some(seqs[0])).await;
    assert_eq!(outdated.next().await, Heard::Info("OutdatedCursor".to_owned()));
    assert_eq!(outdated.seqs(6).await, kept);
    let mut all = server.connect(Some(0)).await;
    assert_eq!(all.seqs(6).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_missed_or_doubled_between_backfill_and_live() {
    const EVENTS: i64 = 6000;
    let server = Server::start(64 * 1024).await;
    let sender = {
        let handle = server.handle.clone();
        let events: Vec<_> = (1..=EVENTS).map(|id| server.outgoing(id, 300)).collect();
        std::thread::spawn(move || {
            for chunk in events.chunks(7) {
                handle.send(handle.reserve().unwrap(), chunk.to_vec()).unwrap();
                std::thread::yield_now();
            }
        })
    };
    let follow = |start: i64| {
        let server = &server;
        async move {
            // Followers join at different times, and come back when they were too slow, as a client does.
            while start > 0 && server.handle.last_seq() == 0 {
                tokio::task::yield_now().await;
            }
            let (mut cursor, mut count) = (0, 0);
            'connect: loop {
                let mut client = server.connect(Some(cursor)).await;
                while count < EVENTS {
                    match client.next().await {
                        Heard::Seq(seq) => {
                            assert!(seq > cursor, "{seq} after {cursor}");
                            (cursor, count) = (seq, count + 1);
                        }
                        Heard::Error(name) => {
                            assert_eq!(name, "ConsumerTooSlow");
                            continue 'connect;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                return cursor;
            }
        }
    };
    let cursors = futures::future::join_all((0..6).map(follow)).await;
    sender.join().unwrap();
    assert!(cursors.iter().all(|cursor| *cursor == server.handle.last_seq()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_is_told_and_dropped_and_delays_nobody() {
    let server = Server::start(1 << 20).await;
    let mut slow = server.connect(None).await;
    let mut quick = server.connect(None).await;
    // More than both ends' socket buffers hold.
    let mut sent = Vec::new();
    for turn in 0..60 {
        sent.extend(server.append(turn * 10 + 1..=turn * 10 + 10, 100_000).await);
        assert_eq!(quick.seqs(10).await, sent[sent.len() - 10..]);
    }
    let mut heard = Vec::new();
    let end = loop {
        match slow.next().await {
            Heard::Seq(seq) => heard.push(seq),
            other => break other,
        }
    };
    assert_eq!(end, Heard::Error("ConsumerTooSlow".to_owned()));
    assert_eq!(slow.next().await, Heard::End);
    assert_eq!(heard, sent[..heard.len()], "what it did get is without a gap");
    assert!(heard.len() < sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_accounts_events_are_gone_at_once() {
    let server = Server::start(1 << 20).await;
    let mut follower = server.connect(Some(0)).await;
    let mut seqs = server.append(1..=700, 100).await;
    let body =
        AccountEvent { did: DID, time: "2026-11-23T00:00:00Z", active: false, status: Some("deleted") };
    let (did, kind) = (DID.parse().unwrap(), EventKind::Account);
    let deletion = OutboxEvent { did, outbox_id: 701, kind, frame: body.encode() };
    let append = Append { events: vec![deletion] }.into_command();
    let Reply::Append(last) = server.handle.call(append).await.unwrap() else { unreachable!() };
    seqs.extend(last.iter().flatten());
    assert_eq!(follower.seqs(701).await, seqs);
    // Two bounded steps, which are taken before the thread rests.
    while server.connect(Some(0)).await.next().await != Heard::Seq(seqs[700]) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_rise_only_to_what_is_synced_and_stopping_syncs_all() {
    let server = Server::start(1 << 20).await;
    server.send(vec![server.outgoing(41, 10), server.outgoing(42, 10)]).unwrap();
    while server.mark.load(Ordering::Acquire) < 42 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A repeated drain counts as synced too.
    let again = Outgoing { synced: Arc::default(), ..server.outgoing(42, 10) };
    server.send(vec![again.clone(), server.outgoing(43, 10)]).unwrap();
    server.handle.stop();
    assert_eq!(again.synced.load(Ordering::Acquire), 42);
    assert_eq!(server.mark.load(Ordering::Acquire), 43);
    assert_eq!(server.send(vec![]), Err(Stopped));
    let database = Database::open(&server.options.path, Durability::Normal).unwrap();
    let mut count = 0;
    crate::sequencer::for_each_event(&database, 0, 100, u64::MAX, &mut |_, _, _| count += 1).unwrap();
    assert_eq!(count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_and_chatter_ends_the_stream() {
    use futures::SinkExt as _;
    let server = Server::start(1 << 20).await;
    let mut client = server.connect(None).await;
    client.0.send(Message::Ping("hello".into())).await.unwrap();
    assert_eq!(client.0.next().await.unwrap().unwrap(), Message::Pong("hello".into()));
    client.0.send(Message::Text("ignored".into())).await.unwrap();
    client.0.send(Message::Binary(vec![0; 100_000].into())).await.unwrap();
    assert_eq!(client.next().await, Heard::End);
    drop(client);
    let mut polite = server.connect(None).await;
    polite.0.close(None).await.unwrap();
    assert_eq!(polite.next().await, Heard::End);
    drop(polite);
    while server.handle.subscribers() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_is_told_to_use_a_websocket() {
    let server = Server::start(1 << 20).await;
    let request = Request::new(axum::body::Body::empty());
    assert!(matches!(server.handle.subscribe(None, request).await, Err(SubscribeError::NotWebSocket)));
}

/// What breaks: the file stays as large as it ever was.
#[tokio::test(flavor = "multi_thread")]
async fn the_file_shrinks_when_events_expire() {
    let server = Server::start(1 << 20).await;
    for turn in 0..30 {
        server.append(turn * 10 + 1..=turn * 10 + 10, 200_000).await;
    }
    let size = || std::fs::metadata(&server.options.path).unwrap().len();
    let expire = Expire { before_us: i64::MAX, bytes_max: u64::MAX, limit: 1_000 };
    server.handle.call(expire.into_command()).await.unwrap();
    let start = Instant::now();
    while size() > 20 << 20 {
        assert!(start.elapsed() < Duration::from_secs(30), "{} bytes", size());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.append(301..=301, 100).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_its_bytes_expires_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let window = Duration::from_secs(3600);
    let options = Options {
        bytes_max: 50_000,
        ring_bytes_max: 300,
        ..Options::new(folder.path().join("sequencer.sqlite"), window)
    };
    let server = Server::of(folder, options).await;
    let mut seqs = server.append(1..=19, 10_000).await;
    seqs.extend(server.append(20..=20, 10_000).await); // The ring holds the last append.
    while server.handle.head().expired_seq < seqs[15] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut outdated = server.connect(Some(seqs[1])).await;
    assert_eq!(outdated.next().await, Heard::Info("OutdatedCursor".to_owned()));
    assert_eq!(outdated.seqs(4).await, seqs[16..]);
}

/// What breaks: a start that fails half-way, and the next one takes the backup for the data that was left.
#[tokio::test(flavor = "multi_thread")]
async fn that_a_backup_was_put_back_is_said_before_it_shows_no_more() {
    let server = Server::start(1 << 20).await;
    server.handle.stop();
    let folder = server.options.folder();
    for name in ["here", "here.other"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    let restored = folder.join("restored");
    std::os::unix::fs::symlink(folder.join("no such folder").join("file"), &restored).unwrap();
    let refused = SequencerHandle::start(server.options.clone()).map(|_| "started");
    assert!(refused.is_err(), "it can't be noted: {refused:?}");
    std::fs::remove_file(&restored).unwrap();
    let handle = SequencerHandle::start(server.options.clone()).unwrap();
    assert!(handle.is_restored() && restored.exists());
    handle.stop();
}
