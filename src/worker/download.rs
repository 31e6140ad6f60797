//! A download at its reader's pace: a chunk is made when the one before has been read, and who stands still is given up.
//!
//! Tricky bit: the runtime ends the answer to a reader in order, also when the download breaks. So that nobody takes a
//! part for the whole, the last byte of what was sent is held back until there is more, or the end: a part ends within a
//! section of the CAR.

use std::time::Duration;

use futures::future::{Either, select};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys::{self, WritableStreamDefaultWriter};
use worker::{Delay, Response, ResponseBuilder, State};

/// The longest a reader may leave a chunk; the object is awake, and billed, meanwhile.
const READ_WITHIN: Duration = Duration::from_secs(30);

#[wasm_bindgen]
extern "C" {
    /// The runtime's pipe, which holds nothing: what is written has been read when that is done.
    #[wasm_bindgen(extends = web_sys::TransformStream)]
    type IdentityTransformStream;

    #[wasm_bindgen(constructor)]
    fn new() -> IdentityTransformStream;
}

/// Answers with all that `next` makes; what breaks it is `next`'s to say in the log.
pub(super) fn answer(
    state: &State,
    next: impl FnMut() -> Option<Result<Vec<u8>, ()>> + 'static,
) -> worker::Result<Response> {
    let pipe = IdentityTransformStream::new();
    let writer = pipe.writable().get_writer()?;
    state.wait_until(async move {
        if feed(&writer, next).await.is_none() {
            // A reader who has gone needs no end.
            let _ = JsFuture::from(writer.abort()).await;
        }
    });
    Ok(ResponseBuilder::new().stream(pipe.readable()))
}

/// `None` when it broke, or the reader has gone or stood still.
async fn feed(
    writer: &WritableStreamDefaultWriter,
    mut next: impl FnMut() -> Option<Result<Vec<u8>, ()>>,
) -> Option<()> {
    let mut held = Vec::new();
    while let Some(chunk) = next() {
        held.append(&mut chunk.ok()?);
        let last = held.pop()?;
        let bytes = Uint8Array::from(held.as_slice());
        held.clear();
        held.push(last);
        read(writer.write_with_chunk(&bytes)).await?;
    }
    read(writer.write_with_chunk(&Uint8Array::from(held.as_slice()))).await?;
    read(writer.close()).await
}

async fn read(done: Promise) -> Option<()> {
    match select(JsFuture::from(done), Delay::from(READ_WITHIN)).await {
        Either::Left((done, _)) => done.ok().map(drop),
        Either::Right(_) => None,
    }
}
