//! bsky-sdk against the running server: `tests/bsky-sdk`. It takes minutes to build, so it is not built by all who test.

use std::path::Path;
use std::process::Command;

use harness::zap::create_account;

/// What breaks: whoever writes for the network in Rust.
#[tokio::test]
async fn the_rust_sdk_signs_in_writes_and_refreshes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/bsky-sdk/debug/bsky-sdk-test");
    if !program.exists() {
        eprintln!(
            "SKIPPED: bsky-sdk is not built; run cargo build --locked \
             --manifest-path tests/bsky-sdk/Cargo.toml --target-dir target/bsky-sdk"
        );
        return;
    }
    let (_data, zap) = super::start("info").await;
    let account = create_account(&mut zap.client(), "rosa.test").await.unwrap();
    let mut command = Command::new(program);
    command.args([format!("http://{}", zap.authority()), account.handle, "correct horse".to_owned()]);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{report}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(report.contains("refreshed and resumed"), "{report}");
}
