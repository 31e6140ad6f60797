//! Logs and metrics. Both name methods, statuses and times; neither ever holds content.
//!
//! A request is counted under its NSID only when we serve that method: names come from strangers, and each new one
//! would be a series that stays in memory.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use metrics::{Gauge, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

/// Requests answered, by method and status.
pub const REQUESTS: &str = "zap_requests_total";
/// Seconds from a request's head to its answer's head.
pub const REQUEST_SECONDS: &str = "zap_request_duration_seconds";
/// Requests being answered.
pub const REQUESTS_IN_FLIGHT: &str = "zap_requests_in_flight";

/// Requests to relays to crawl this server, by relay and by what it answered: an HTTP status, or `unreachable`.
pub const RELAY_REQUESTS: &str = "zap_relay_requests_total";

/// Upper bounds of the latency buckets: from a cached read to the slowest upstream.
const SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How often histograms are put in order when nobody reads them.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error("{0}; write it as info or zap=debug")]
    Filter(#[from] ParseError),
    /// Something in this process logs already.
    #[error("logging is set up already")]
    LogTaken,
    /// Something in this process counts already, or the buckets can't be.
    #[error("metrics can't be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Whether a text is a filter.
///
/// # Errors
/// [`TelemetryError`] saying why not.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    EnvFilter::try_new(directives(filter))?;
    Ok(())
}

/// Starts logging to stderr.
///
/// # Errors
/// When the filter can't be read, or logging was started before.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(directives(filter))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Compact => false,
        LogFormat::Auto => !terminal,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        builder.compact().with_ansi(terminal).with_target(false).try_init()
    };
    started.map_err(|_| TelemetryError::LogTaken)
}

/// A bare level is for our own code: libraries at that level would log headers and bodies.
fn directives(filter: &str) -> String {
    let is_level = ["off", "error", "warn", "info", "debug", "trace"].contains(&filter.trim());
    if is_level { format!("warn,zap={}", filter.trim()) } else { filter.to_owned() }
}

/// What is counted, and its text for Prometheus.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Starts counting for the whole process.
    ///
    /// # Errors
    /// When something counts already.
    pub fn start() -> Result<Self, TelemetryError> {
        let handle = PrometheusBuilder::new().set_buckets(SECONDS)?.install_recorder()?;
        describe_counter!(REQUESTS, "Requests answered, by method and status");
        describe_counter!(RELAY_REQUESTS, "Requests to relays to crawl this server, by relay and answer");
        describe_histogram!(
            REQUEST_SECONDS,
            metrics::Unit::Seconds,
            "Time from a request to its answer's head"
        );
        describe_gauge!(REQUESTS_IN_FLIGHT, "Requests being answered");
        Ok(Self { handle })
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Keeps memory bounded while nobody reads the metrics. Runs until dropped.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

/// The NSIDs that get series of their own.
pub type Known = Arc<HashSet<&'static str>>;

/// Middleware: counts and times requests, and logs those that failed here.
pub async fn observe(State(known): State<Known>, request: Request, next: Next) -> Response {
    let method = method_label(request.uri().path(), &known);
    let start = Instant::now();
    let in_flight = InFlight::new();
    let response = next.run(request).await;
    drop(in_flight);
    let elapsed = start.elapsed();
    let status = response.status();
    counter!(REQUESTS, "method" => method, "status" => status.as_str().to_owned()).increment(1);
    histogram!(REQUEST_SECONDS, "method" => method).record(elapsed.as_secs_f64());
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    // A method that is not there is the caller's mistake, for all that the protocol answers it with 501.
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        tracing::error!(method, status = status.as_u16(), elapsed_us, "request failed");
    } else {
        tracing::debug!(method, status = status.as_u16(), elapsed_us, "request");
    }
    response
}

/// One request being answered; also counted down when its client goes away and the future is dropped.
struct InFlight(Gauge);

impl InFlight {
    fn new() -> Self {
        let gauge = gauge!(REQUESTS_IN_FLIGHT);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn method_label(path: &str, known: &HashSet<&'static str>) -> &'static str {
    match path.strip_prefix("/xrpc/") {
        Some(nsid) => known.get(nsid).copied().unwrap_or("unknown"),
        None => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_can_not_make_series() {
        let known = HashSet::from(["com.atproto.repo.getRecord"]);
        assert_eq!(method_label("/xrpc/com.atproto.repo.getRecord", &known), "com.atproto.repo.getRecord");
        assert_eq!(method_label("/xrpc/com.example.x1", &known), "unknown");
        assert_eq!(method_label("/agents/alice", &known), "http");
    }

    #[test]
    fn a_bare_level_does_not_make_libraries_talk() {
        assert_eq!(directives("debug"), "warn,zap=debug");
        assert_eq!(directives("hyper=trace,zap=info"), "hyper=trace,zap=info");
    }

    #[tokio::test]
    async fn requests_are_counted_by_method_and_status() {
        use tower::ServiceExt;
        let metrics = Metrics::start().unwrap();
        let known: Known = Arc::new(HashSet::from(["com.example.known"]));
        let app = axum::Router::new()
            .route("/xrpc/{nsid}", axum::routing::get(|| async { "hello" }))
            .layer(axum::middleware::from_fn_with_state(known, observe));
        for path in ["/xrpc/com.example.known", "/xrpc/com.example.other", "/else"] {
            let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap();
        }
        let text = metrics.render();
        for line in [
            r#"zap_requests_total{method="com.example.known",status="200"} 1"#,
            r#"zap_requests_total{method="unknown",status="200"} 1"#,
            r#"zap_requests_total{method="http",status="404"} 1"#,
            r#"zap_request_duration_seconds_count{method="com.example.known"} 1"#,
            "zap_requests_in_flight 0",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        assert!(Metrics::start().is_err());
        assert!(start_log("zap=loud=very", LogFormat::Auto).is_err());
    }
}
