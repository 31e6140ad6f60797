//! As much of the WebSocket protocol (RFC 6455) as a server needs that sends prepared messages and reads almost
//! nothing: the handshake, message headers, and the client's control frames.
//!
//! Own code because a server's messages are not masked: the same bytes serve every subscriber, written straight from
//! shared buffers, many in one system call. No extension is negotiated.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::limits::FIREHOSE_CLIENT_MESSAGE_BYTES_MAX;

/// The longest header of a message without mask.
pub(super) const HEADER_BYTES_MAX: usize = 10;

/// Closing because the server goes away.
pub(super) const CLOSE_AWAY: u16 = 1001;
/// Closing because the client broke the protocol.
pub(super) const CLOSE_PROTOCOL: u16 = 1002;
/// Closing because the subscription cannot go on.
pub(super) const CLOSE_POLICY: u16 = 1008;
/// Closing because the client sent too much.
pub(super) const CLOSE_TOO_BIG: u16 = 1009;
/// Closing because the server failed.
pub(super) const CLOSE_INTERNAL: u16 = 1011;

const FIN: u8 = 0x80;
const OP_BINARY: u8 = 2;
const OP_CLOSE: u8 = 8;
const OP_PING: u8 = 9;
const OP_PONG: u8 = 10;
const MASKED: u8 = 0x80;
const CONTROL_BYTES_MAX: usize = 125;

/// The answer that turns the connection into a WebSocket; `None` when the request does not ask for that.
pub(super) fn handshake(request: &HeaderMap) -> Option<Response<axum::body::Body>> {
    let has = |name: HeaderName, token: &str| {
        request
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let asks = has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = request.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks)?;
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).ok()?);
    Some(response)
}

/// Appends one binary message.
#[expect(clippy::cast_possible_truncation, reason = "each arm has checked the width")]
pub(super) fn write_binary(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(FIN | OP_BINARY);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

fn control(op: u8, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..CONTROL_BYTES_MAX).unwrap_or(payload);
    let mut frame = vec![FIN | op, u8::try_from(payload.len()).unwrap_or_default()];
    frame.extend_from_slice(payload);
    frame
}

pub(super) fn ping() -> Vec<u8> {
    control(OP_PING, b"")
}

pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    control(OP_PONG, payload)
}

pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    control(OP_CLOSE, &payload)
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientFrame {
    /// The client wants a pong with this payload.
    Ping(Vec<u8>),
    /// The client is alive.
    Pong,
    /// The client is leaving.
    Close,
    /// Part of a message; the stream takes none, so it is passed over.
    Data,
}

/// Takes the first frame out of `buffer`; `None` until all of it is there. The error is the close code to leave with.
pub(super) fn take_client_frame(buffer: &mut Vec<u8>) -> Result<Option<ClientFrame>, u16> {
    let Some((&[first, second], rest)) = buffer.split_first_chunk::<2>() else { return Ok(None) };
    let (op, is_final) = (first & 0x0f, first & FIN != 0);
    if first & 0x70 != 0 || second & MASKED == 0 || matches!(op, 3..=7 | 11..) {
        return Err(CLOSE_PROTOCOL);
    }
    let (length, rest) = match (second & 0x7f, rest) {
        (126, rest) => match rest.split_first_chunk::<2>() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        (127, rest) => match rest.split_first_chunk::<8>() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        (short, rest) => (u64::from(short), rest),
    };
    let length = usize::try_from(length).map_err(|_| CLOSE_TOO_BIG)?;
    if op >= OP_CLOSE && (length > CONTROL_BYTES_MAX || !is_final) {
        return Err(CLOSE_PROTOCOL);
    }
    if length > FIREHOSE_CLIENT_MESSAGE_BYTES_MAX {
        return Err(CLOSE_TOO_BIG);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let frame = match op {
        OP_CLOSE => ClientFrame::Close,
        OP_PING => ClientFrame::Ping(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect()),
        OP_PONG => ClientFrame::Pong,
        _ => ClientFrame::Data,
    };
    let left = rest.len() - length;
    buffer.drain(..buffer.len() - left);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_taken_whole_and_one_by_one() {
        // A masked ping "Hi", a masked pong, and half of a close.
        let mut buffer =
            vec![0x89, 0x82, 1, 2, 3, 4, b'H' ^ 1, b'i' ^ 2, 0x8a, 0x80, 0, 0, 0, 0, 0x88, 0x80, 9];
        assert_eq!(take_client_frame(&mut buffer), Ok(Some(ClientFrame::Ping(b"Hi".to_vec()))));
        assert_eq!(take_client_frame(&mut buffer), Ok(Some(ClientFrame::Pong)));
        assert_eq!(take_client_frame(&mut buffer), Ok(None));
        buffer.extend([9, 9, 9]);
        assert_eq!(take_client_frame(&mut buffer), Ok(Some(ClientFrame::Close)));
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        let cases: [(&[u8], u16); 6] = [
            (&[0x82, 0x01, 0], CLOSE_PROTOCOL),                        // not masked
            (&[0xc2, 0x81], CLOSE_PROTOCOL),                           // an extension's bit
            (&[0x83, 0x80], CLOSE_PROTOCOL),                           // an unknown opcode
            (&[0x09, 0x80], CLOSE_PROTOCOL),                           // a fragmented ping
            (&[0x89, 0xfe, 0, 126], CLOSE_PROTOCOL),                   // a long ping
            (&[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0], CLOSE_TOO_BIG), // an endless message
        ];
        for (bytes, code) in cases {
            assert_eq!(take_client_frame(&mut bytes.to_vec()), Err(code), "{bytes:?}");
        }
    }

    #[test]
    fn a_plain_request_is_no_handshake() {
        let mut headers = HeaderMap::new();
        assert!(handshake(&headers).is_none());
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        assert!(handshake(&headers).is_none());
        // The key and answer of RFC 6455, section 1.3.
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let response = handshake(&headers).unwrap();
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    proptest! {
        #[test]
        fn any_bytes_end(mut bytes: Vec<u8>) {
            let mut frames = 0;
            while let Ok(Some(_)) = take_client_frame(&mut bytes) {
                frames += 1;
            }
            prop_assert!(frames <= 100);
        }
    }
}
