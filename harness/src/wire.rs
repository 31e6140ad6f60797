//! Connections byte by byte, for clients that no library would make: they send half of what they announce, or read
//! nothing of what they ask for.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The method that is asked for with an upgrade to WebSocket.
pub const SUBSCRIBE: &str = "com.atproto.sync.subscribeRepos";

/// How long an answer's head is waited for.
const HEAD_WITHIN: Duration = Duration::from_secs(60);

/// A connection for which the kernel reads little ahead, so that what is not read stays with the server.
///
/// # Errors
/// When the server takes none.
pub async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    Ok(socket.connect(address).await?)
}

/// Sends bytes on a connection of their own.
///
/// # Errors
/// When the connection breaks.
pub async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<TcpStream> {
    let mut stream = connect(address).await?;
    stream.write_all(bytes.as_ref()).await?;
    Ok(stream)
}

/// Asks for an XRPC path as the client at `from` would, through what stands before either host, and reads nothing yet.
///
/// # Errors
/// When the connection breaks.
pub async fn ask(address: SocketAddr, from: &str, path: &str) -> Result<TcpStream> {
    let upgrade = match path.split('?').next() {
        Some(SUBSCRIBE) => {
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
        _ => "",
    };
    let head = format!(
        "GET /xrpc/{path} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {from}\r\ncf-connecting-ip: {from}\r\n{upgrade}\r\n"
    );
    send(address, head).await
}

/// The status of an answer and its head in lower case; 0 when the connection ended or nothing came in time. The body is
/// left unread.
pub async fn head(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
    };
    // Whatever has come by then is what there is.
    drop(tokio::time::timeout(HEAD_WITHIN, read).await);
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head)
}

/// As [`head`], the status alone.
pub async fn status(stream: &mut (impl AsyncRead + Unpin)) -> u16 {
    head(stream).await.0
}
