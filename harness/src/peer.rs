//! Another server on the network, which behaves as badly as it is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it does with who connects to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Brings everything to the server there, and its answers back.
    Forward(SocketAddr),
    /// Brings everything to the server there, and its answers back a second and a half later.
    Late(SocketAddr),
    /// Brings everything to the server there, and no answer back.
    Mute(SocketAddr),
    /// Answers each request, which has no body, with a little JSON at once.
    Prompt,
    /// Takes requests and answers nothing.
    Silent,
    /// Answers with a body that never ends, a byte now and then.
    Dripping,
    /// Answers with a body that never ends, as fast as it is read.
    Flooding,
}

/// The peer, which is gone when dropped.
#[derive(Debug)]
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    open: Arc<AtomicUsize>,
    unanswered: Arc<AtomicUsize>,
}

impl Peer {
    /// Starts it on loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(conduct: Conduct) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, receiver) = watch::channel(conduct);
        let (open, unanswered) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&open), Arc::clone(&unanswered));
        tokio::spawn(async move {
            let mut until = receiver.clone();
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let (receiver, open) = (receiver.clone(), Arc::clone(&counts.0));
                    let unanswered = Arc::clone(&counts.1);
                    open.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move {
                        // However it ends, the other side has gone.
                        drop(serve(stream, receiver, &unanswered).await);
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            };
            let dropped = async { while until.changed().await.is_ok() {} };
            tokio::select! { () = accept => {}, () = dropped => {} }
        });
        Ok(Self { address, conduct: sender, open, unanswered })
    }

    /// Behaves like this from now on, towards those already connected too.
    pub fn behave(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }

    /// Connections that the other side has not given up.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Requests that got no answer, or a late one, or not all of one; a long one may count more than once.
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }
}

/// Until the other side ends the connection, or the peer is dropped.
async fn serve(
    mut stream: TcpStream,
    mut conduct: watch::Receiver<Conduct>,
    unanswered: &AtomicUsize,
) -> Result<()> {
    loop {
        let now = *conduct.borrow_and_update();
        tokio::select! {
            ended = act(now, &mut stream, unanswered) => return ended,
            changed = conduct.changed() => changed?,
        }
    }
}

async fn act(conduct: Conduct, stream: &mut TcpStream, unanswered: &AtomicUsize) -> Result<()> {
    if let Conduct::Forward(target) = conduct {
        copy_bidirectional(stream, &mut TcpStream::connect(target).await?).await?;
        return Ok(());
    }
    let (mut requests, mut answers) = stream.split();
    match conduct {
        Conduct::Forward(_) => Ok(()),
        Conduct::Prompt => answer_all(&mut requests, &mut answers).await,
        Conduct::Silent => swallow(&mut requests, sink(), unanswered).await,
        Conduct::Late(target) => {
            let mut server = TcpStream::connect(target).await?;
            let (mut heard, taken) = server.split();
            let hear = late(&mut heard, &mut answers);
            tokio::select! { ended = swallow(&mut requests, taken, unanswered) => ended, ended = hear => ended }
        }
        Conduct::Mute(target) => {
            let mut server = TcpStream::connect(target).await?;
            let (mut unheard, taken) = server.split();
            let hear = async {
                drop(copy(&mut unheard, &mut sink()).await);
                std::future::pending().await
            };
            tokio::select! { ended = swallow(&mut requests, taken, unanswered) => ended, () = hear => Ok(()) }
        }
        Conduct::Dripping | Conduct::Flooding => {
            let (size, pause) = match conduct {
                Conduct::Dripping => (1, Duration::from_millis(500)),
                _ => (64 * 1024, Duration::ZERO),
            };
            // An answer before its request would be none.
            if requests.read(&mut [0; 4096]).await? == 0 {
                return Ok(());
            }
            unanswered.fetch_add(1, Ordering::SeqCst);
            let answer = endless(&mut answers, size, pause);
            tokio::select! { ended = swallow(&mut requests, sink(), unanswered) => ended, ended = answer => ended }
        }
    }
}

/// Takes requests, to `to`, until there are no more.
async fn swallow(
    requests: &mut (impl AsyncRead + Unpin),
    mut to: impl AsyncWrite + Unpin,
    unanswered: &AtomicUsize,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = requests.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        unanswered.fetch_add(1, Ordering::SeqCst);
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}

/// Brings answers, each a good while after it was given.
async fn late(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
    }
}

/// Answers requests without bodies, until there are no more.
async fn answer_all(
    requests: &mut (impl AsyncRead + Unpin),
    answers: &mut (impl AsyncWrite + Unpin),
) -> Result<()> {
    const END: &[u8] = b"\r\n\r\n";
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"actors\":[]}";
    let (mut asked, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = requests.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        asked.extend_from_slice(buffer.get(..read).unwrap_or_default());
        while let Some(end) = asked.windows(END.len()).position(|window| window == END) {
            asked.drain(..end + END.len());
            answers.write_all(ANSWER).await?;
        }
    }
}

/// Answers with a body without an end.
async fn endless(answers: &mut (impl AsyncWrite + Unpin), size: usize, pause: Duration) -> Result<()> {
    answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await?;
    let spaces = vec![b' '; size];
    loop {
        answers.write_all(&spaces).await?;
        tokio::time::sleep(pause).await;
    }
}
