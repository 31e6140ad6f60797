//! The same load on one or more servers, in one run, on one machine; a table at the end.
//!
//! The driver is one thread and shares the machine with the server, so rates say what both manage together and
//! processor time, read from `/proc`, says what the server alone costs. What is counted is what arrived.

mod accounts;
mod load;
mod oauth;
mod reads;
mod scale;
mod streams;
mod table;
mod target;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use harness::{Account, zap};

use self::table::Table;
use self::target::Target;

/// What to measure, and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure the reference server first, on the same machine in the same run.
    #[arg(long)]
    reference: bool,
    /// Measure this running server (`127.0.0.1:2583`) instead of starting one; needs `--pid`.
    #[arg(long, requires = "pid", value_name = "ADDRESS")]
    url: Option<String>,
    /// The process to measure with `--url`.
    #[arg(long)]
    pid: Option<u32>,
    /// Measure ours in workerd as well, as `cargo xtask worker build --testing` made it.
    #[arg(long)]
    worker: bool,
    /// Do not measure ours.
    #[arg(long)]
    without_zap: bool,
    /// Measure ours and this binary of zap by turns, and compare the medians of all rounds.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["reference", "url", "worker", "without_zap"])]
    against: Option<PathBuf>,
    /// How often each of the two is measured with `--against`, every time on a fresh data folder.
    #[arg(long, requires = "against", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure this binary as ours instead of building one.
    #[arg(long, value_name = "PATH")]
    ours: Option<PathBuf>,
    /// Scenarios to run, all when none is given; with `--against`, `create` to `backfill`. `flat`, `agents` and
    /// `active` are never run on the reference: it would take hours.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Seconds each timed scenario lasts.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Agents of the scenario `agents`.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// Records of the larger repo of the scenario `flat`.
    #[arg(long, default_value_t = 200_000)]
    records: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// createRecord, 16 in flight over 8 accounts.
    Create,
    /// One row into an otherwise empty object, 16 in flight over 8 objects. On the Worker alone: what a write costs there.
    Insert,
    /// getRecord, 32 in flight.
    Get,
    /// sync.getRecord, 32 in flight.
    Proof,
    /// listRecords of 100 records, 4 in flight.
    List,
    /// getSession and describeServer, 32 in flight; getSession by a token that is bound to a key as well.
    Session,
    /// All that an OAuth client and its user's browser ask of the server, from the pushed request to the tokens.
    Login,
    /// createRecord, 16 in flight, alone and beside 8 sign-ins in flight.
    SignIns,
    /// A method of the app view's, 32 in flight, which answers at once.
    Proxy,
    /// getRepo of a repo of 10,000 records.
    Repo,
    /// From createRecord to the frame at a subscriber, 50 writes a second.
    Latency,
    /// 100 subscribers while records are created.
    Fanout,
    /// createRecord, 50 a second, while 2,000 subscribe and read nothing.
    Crowd,
    /// A subscriber from cursor 0.
    Backfill,
    /// The cost of a commit in a small and in a large repo.
    Flat,
    /// Many agents, each of which writes once.
    Agents,
    /// 100 agents that write by turns, and 2,000.
    Active,
}

impl Scenario {
    /// Whether a comparison leaves it out unless it is asked for, and the reference server always.
    fn is_long(self) -> bool {
        matches!(self, Scenario::Flat | Scenario::Agents | Scenario::Active)
    }
}

/// Accounts that share the load.
const ACCOUNTS: usize = 8;

/// A server under load and what has been learnt about it.
struct Bench<'a> {
    target: Target,
    options: &'a Options,
    accounts: Vec<Account>,
    table: &'a mut Table,
}

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::default();
    if let Some(other) = &options.against {
        let ours = options.ours.clone().map_or_else(target::build_zap, Ok)?;
        runtime.block_on(compare([("against", other), ("zap", &ours)], options, &mut table))?;
        println!("{}", table.comparison());
        return Ok(());
    }
    runtime.block_on(async {
        if options.reference {
            measure(Target::reference().await?, options, &mut table).await?;
        }
        if options.worker {
            measure(Target::worker().await?, options, &mut table).await?;
        }
        if let (Some(address), Some(pid)) = (&options.url, options.pid) {
            measure(Target::running(address, pid)?, options, &mut table).await?;
        } else if !options.without_zap {
            let binary = options.ours.clone().map_or_else(target::build_zap, Ok)?;
            measure(Target::zap("zap", &binary).await?, options, &mut table).await?;
        }
        anyhow::Ok(())
    })?;
    println!("{table}");
    Ok(())
}

/// Both by turns, so that what the machine does meanwhile meets both; who is first changes, as the second finds warm
/// caches.
async fn compare(both: [(&'static str, &PathBuf); 2], options: &Options, table: &mut Table) -> Result<()> {
    let mut turn = both;
    for round in 1..=options.rounds {
        eprintln!("== round {round} of {}", options.rounds);
        for (name, binary) in turn {
            measure(Target::zap(name, binary).await?, options, table).await?;
        }
        turn.reverse();
    }
    Ok(())
}

async fn measure(target: Target, options: &Options, table: &mut Table) -> Result<()> {
    eprintln!("== {}", target.name);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut bench = Bench { target, options, accounts: Vec::new(), table };
    let idle = bench.target.usage()?;
    bench.row("memory idle, MB", idle.resident_bytes as f64 / 1e6);
    let mut client = bench.target.client();
    for index in 0..ACCOUNTS {
        let handle = format!("bench{index}-{}.test", std::process::id());
        bench.accounts.push(zap::create_account(&mut client, &handle).await?);
    }
    for scenario in Scenario::value_variants() {
        let is_default = options.against.is_none() || !scenario.is_long();
        let asked =
            if options.scenarios.is_empty() { is_default } else { options.scenarios.contains(scenario) };
        if asked && bench.target.can(*scenario) && (bench.target.is_ours || !scenario.is_long()) {
            bench.scenario(*scenario).await?;
        }
    }
    let used = bench.target.usage()?;
    bench.row("memory after the load, MB", used.resident_bytes as f64 / 1e6);
    Ok(())
}

impl Bench<'_> {
    async fn scenario(&mut self, scenario: Scenario) -> Result<()> {
        eprintln!("-- {scenario:?}");
        match scenario {
            Scenario::Create => self.create().await,
            Scenario::Insert => self.insert().await,
            Scenario::Get => self.get().await,
            Scenario::Proof => self.proof().await,
            Scenario::List => self.list().await,
            Scenario::Session => self.session().await,
            Scenario::Login => self.login().await,
            Scenario::SignIns => self.sign_ins().await,
            Scenario::Proxy => self.proxy().await,
            Scenario::Repo => self.repo().await,
            Scenario::Latency => self.latency().await,
            Scenario::Fanout => self.fanout().await,
            Scenario::Crowd => self.crowd().await,
            Scenario::Backfill => self.backfill().await,
            Scenario::Flat => self.flat().await,
            Scenario::Agents => self.agents().await,
            Scenario::Active => self.active().await,
        }
    }

    fn row(&mut self, figure: &str, value: f64) {
        eprintln!("   {figure}: {}", table::number(value));
        self.table.add(figure, self.target.name, value);
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }
}
