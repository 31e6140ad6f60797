//! A whole host for tests of this module.

use std::path::Path;
use std::sync::Arc;

use super::NativeHost;
use super::descriptors::Descriptors;
use super::files::Files;
use crate::config::{Config, Layers, Texts};

/// A server's world on a new data folder.
pub(super) async fn start(data: &Path) -> Arc<NativeHost> {
    let flags = Texts::from([("data", vec![data.display().to_string()])]);
    let config = Config::new(&Layers { flags, ..Layers::default() }.effective()).unwrap();
    let descriptors = Descriptors { connections: 8, agents_a_shard: 4, readers: 4, blobs: 4, exchanges: 4 };
    let files = Files::open(data).unwrap();
    NativeHost::start(config, files, descriptors).await.unwrap()
}
