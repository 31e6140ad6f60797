//! How far a long command has come: one line of standard error, written over, where a terminal shows it.

use std::io::{IsTerminal as _, Stderr, Write};
use std::time::{Duration, Instant};

/// Between two states of the line: more can't be read.
const INTERVAL: Duration = Duration::from_millis(100);

/// The line. It goes when this is dropped.
pub(crate) struct Progress<W: Write = Stderr> {
    /// `None` where nobody looks.
    terminal: Option<W>,
    shown: Option<Instant>,
}

impl Progress {
    /// On this process's terminal, if it has one.
    pub(crate) fn new() -> Self {
        let stderr = std::io::stderr();
        Self::on(stderr.is_terminal().then_some(stderr))
    }

    /// The same for a command whose output is lines: a terminal that shows those needs no more.
    pub(crate) fn beside_lines() -> Self {
        if std::io::stdout().is_terminal() { Self::on(None) } else { Self::new() }
    }
}

impl<W: Write> Progress<W> {
    fn on(terminal: Option<W>) -> Self {
        Self { terminal, shown: None }
    }

    /// Shows where the command is.
    pub(crate) fn at(&mut self, text: impl FnOnce() -> String) {
        let Some(terminal) = &mut self.terminal else { return };
        if self.shown.is_some_and(|shown| shown.elapsed() < INTERVAL) {
            return;
        }
        // What can't be shown does not stop the command.
        let _ = write!(terminal, "\r\x1b[2K{}", text()).and_then(|()| terminal.flush());
        self.shown = Some(Instant::now());
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        if let (Some(terminal), Some(_)) = (&mut self.terminal, self.shown) {
            let _ = write!(terminal, "\r\x1b[2K").and_then(|()| terminal.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_shows_where_a_command_is_and_keeps_nothing_of_it() {
        let mut shown = Vec::new();
        let mut progress = Progress::on(Some(&mut shown));
        for number in 1..=1000 {
            progress.at(|| format!("{number} of 1000"));
        }
        drop(progress);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.starts_with("\r\x1b[2K1 of 1000"), "{shown}");
        assert!(shown.ends_with("\r\x1b[2K") && shown.matches('\r').count() < 100, "{shown}");
    }

    #[test]
    fn nobody_is_asked_where_it_is_when_nobody_looks() {
        let mut progress = Progress::<Vec<u8>>::on(None);
        progress.at(|| unreachable!());
    }
}
