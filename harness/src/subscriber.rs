//! A WebSocket client that costs almost nothing: it finds the messages in what arrives and hands them on as slices.
//!
//! A hundred of them share one processor with the server they measure, so there is no masking check, no UTF-8 check
//! and no copy of a message. The subscriber trusts the server; it is no client for strangers.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 256 * 1024;

const OP_CONTINUATION: u8 = 0;
const OP_CLOSE: u8 = 8;
const OP_PING: u8 = 9;

/// One subscription.
#[derive(Debug)]
pub struct Subscriber {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// A message that came in several fragments, so far.
    fragments: Vec<u8>,
    closed: bool,
}

impl Subscriber {
    /// Opens the subscription at `path` (with its query).
    ///
    /// # Errors
    /// When the server does not upgrade the connection.
    pub async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        Self::connect_with(address, path, "").await
    }

    /// As [`Subscriber::connect`], with more headers, each a line with its end.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with(address: SocketAddr, path: &str, headers: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::with_capacity(READ_BYTES);
        let head = loop {
            ensure!(stream.read_buf(&mut buffer).await? > 0, "{path}: closed before the upgrade");
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        ensure!(head.starts_with("HTTP/1.1 101"), "{path}: {head}");
        Ok(Self { stream, buffer, fragments: Vec::new(), closed: false })
    }

    /// Waits for bytes and hands each whole message in them to `visit`. `false` when the stream has ended.
    ///
    /// # Errors
    /// When the connection breaks or is no WebSocket.
    pub async fn read(&mut self, mut visit: impl FnMut(&[u8])) -> Result<bool> {
        let mut ponged = Vec::new();
        let consumed = self.parse(&mut visit, &mut ponged)?;
        self.buffer.drain(..consumed);
        if !ponged.is_empty() {
            self.stream.write_all(&ponged).await?;
        }
        if self.closed {
            return Ok(false);
        }
        if consumed > 0 {
            return Ok(true);
        }
        self.buffer.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next messages, copied: for tests that look into them. An empty list when the stream has ended.
    ///
    /// # Errors
    /// When the connection breaks or is no WebSocket.
    pub async fn next(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut messages = Vec::new();
        while messages.is_empty() {
            if !self.read(|message| messages.push(message.to_vec())).await? {
                break;
            }
        }
        Ok(messages)
    }

    /// Visits the whole messages in the buffer; the number of bytes that are done with.
    fn parse(&mut self, visit: &mut impl FnMut(&[u8]), ponged: &mut Vec<u8>) -> Result<usize> {
        let mut consumed = 0;
        while let Some(frame) = Frame::parse(self.buffer.get(consumed..).unwrap_or_default())? {
            consumed += frame.bytes;
            match frame.op {
                OP_CLOSE => self.closed = true,
                OP_PING => pong(frame.payload, ponged),
                op if op > OP_CLOSE => {}
                op if frame.last && op != OP_CONTINUATION => visit(frame.payload),
                _ => {
                    self.fragments.extend_from_slice(frame.payload);
                    if frame.last {
                        visit(&self.fragments);
                        self.fragments.clear();
                    }
                }
            }
        }
        Ok(consumed)
    }
}

struct Frame<'a> {
    last: bool,
    op: u8,
    payload: &'a [u8],
    bytes: usize,
}

impl<'a> Frame<'a> {
    /// The first frame of `buffer`, if it is there as a whole.
    fn parse(buffer: &'a [u8]) -> Result<Option<Self>> {
        let [first, second, rest @ ..] = buffer else { return Ok(None) };
        if second & 0x80 != 0 {
            bail!("the server masks its frames");
        }
        let (length, head) = match second {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            length => (u64::from(*length), 2),
        };
        let bytes = usize::try_from(length)?.checked_add(head).context("a frame longer than memory")?;
        let Some(payload) = buffer.get(head..bytes) else { return Ok(None) };
        Ok(Some(Self { last: first & 0x80 != 0, op: first & 0x0f, payload, bytes }))
    }
}

/// The masked answer to a ping; the mask is zero, so the payload stands as it is.
fn pong(payload: &[u8], out: &mut Vec<u8>) {
    // Control frames carry at most 125 bytes.
    let length = u8::try_from(payload.len()).unwrap_or(0).min(125);
    out.extend_from_slice(&[0x8a, 0x80 | length, 0, 0, 0, 0]);
    out.extend_from_slice(payload.get(..usize::from(length)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_however_they_are_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let mut bytes = stream.read(&mut request).await.unwrap();
            request.truncate(bytes);
            let mut sent = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
            sent.extend_from_slice(&[0x82, 2, 1, 2]);
            sent.extend_from_slice(&[0x89, 1, 7]);
            sent.extend_from_slice(&[0x82, 126, 1, 0]);
            sent.extend_from_slice(&[3; 256]);
            sent.extend_from_slice(&[0x02, 1, 4, 0x80, 1, 5]);
            sent.extend_from_slice(&[0x88, 0]);
            for part in sent.chunks(100) {
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut answer = [0; 16];
            bytes = stream.read(&mut answer).await.unwrap();
            answer[..bytes].to_vec()
        });
        let mut subscriber = Subscriber::connect(address, "/x").await.unwrap();
        let mut messages = Vec::new();
        while subscriber.read(|message| messages.push(message.to_vec())).await.unwrap() {}
        assert_eq!(messages, [vec![1, 2], vec![3; 256], vec![4, 5]]);
        assert_eq!(server.await.unwrap(), [0x8a, 0x81, 0, 0, 0, 0, 7]);
    }
}
