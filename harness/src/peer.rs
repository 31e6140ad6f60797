//! Another server on the network, which behaves as badly as it is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it does with who connects to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Brings everything to the server there, and its answers back.
    Forward(SocketAddr),
    /// Brings everything to the server there, and no answer back.
    Mute(SocketAddr),
    /// Takes requests and answers nothing.
    Silent,
    /// Answers with a body that never ends, a byte now and then.
    Dripping,
    /// Answers with a body that never ends, as fast as it is read.
    Flooding,
}

/// The peer. It is gone when dropped.
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

    /// Requests that got no answer, or not all of one; a long one may count more than once.
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";

/// Until the other side ends the connection.
async fn serve(
    mut stream: TcpStream,
    mut conduct: watch::Receiver<Conduct>,
    unanswered: &AtomicUsize,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = *conduct.borrow_and_update();
        match now {
            Conduct::Forward(target) => {
                let mut server = TcpStream::connect(target).await?;
                tokio::select! {
                    ended = copy_bidirectional(&mut stream, &mut server) => { ended?; return Ok(()); }
                    changed = conduct.changed() => changed?,
                }
            }
            Conduct::Mute(target) => {
                let mut server = TcpStream::connect(target).await?;
                let (mut answers, mut requests) = server.split();
                let (mut reader, _writer) = stream.split();
                tokio::select! {
                    ended = tokio::io::copy(&mut reader, &mut requests) => { ended?; return Ok(()); }
                    // Until the connection ends or the conduct changes, whatever the server does.
                    changed = async {
                        drop(tokio::io::copy(&mut answers, &mut tokio::io::sink()).await);
                        conduct.changed().await
                    } => changed?,
                }
            }
            Conduct::Silent => tokio::select! {
                read = stream.read(&mut buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    unanswered.fetch_add(1, Ordering::SeqCst);
                }
                changed = conduct.changed() => changed?,
            },
            Conduct::Dripping | Conduct::Flooding => {
                if stream.read(&mut buffer).await? == 0 {
                    return Ok(());
                }
                unanswered.fetch_add(1, Ordering::SeqCst);
                stream.write_all(HEAD).await?;
                let (mut reader, mut writer) = stream.split();
                let (size, pause) = match now {
                    Conduct::Dripping => (1, Duration::from_millis(500)),
                    _ => (64 * 1024, Duration::ZERO),
                };
                let spaces = vec![b' '; size];
                let send = async {
                    while writer.write_all(&spaces).await.is_ok() {
                        tokio::time::sleep(pause).await;
                    }
                };
                let ended = async { while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
                tokio::select! { () = send => {}, () = ended => {} }
                return Ok(());
            }
        }
    }
}
