//! What commands print: tables and lines for people, JSON for programs.
//!
//! Text that came from a server is shown without control characters: a memory must not be able to move the cursor or
//! retitle the reader's terminal. A reader that stops early (`zap memories alice | head -1`) is no error.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

use super::error::CliError;
use super::explain::{Code, Explain};

/// Width of a table's last column when the terminal does not tell its own.
const COLUMNS_DEFAULT: usize = 120;

/// Why nothing more can be printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OutError {
    /// Standard output can't be written.
    #[error("writing the output: {0}")]
    Output(#[source] std::io::Error),
    /// The output has no JSON form.
    #[error("writing JSON: {0}")]
    NotJson(#[source] serde_json::Error),
}

impl Explain for OutError {
    fn code(&self) -> Code {
        match self {
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Code::Done,
            Self::Output(_) | Self::NotJson(_) => Code::Failed,
        }
    }
}

/// Standard output, and how it is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    /// JSON instead of text for people.
    pub(crate) json: bool,
    colour: bool,
    /// Columns to keep to; `None` when nobody looks.
    columns: Option<usize>,
}

impl Out {
    /// For this process's standard output.
    pub(crate) fn new(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour, columns: terminal.then(terminal_columns) }
    }

    /// One line. Only for text of our own; see [`clean`] for what others wrote.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        Ok(writeln!(std::io::stdout().lock(), "{text}").map_err(OutError::Output)?)
    }

    /// One line beside the output, on standard error: of what goes on, for whoever watches.
    pub(crate) fn aside(&self, text: &str) {
        // The output is what was asked for; that this can't be told does not stop it.
        let _ = writeln!(std::io::stderr().lock(), "{}", clean(text));
    }

    /// A value as JSON, indented when somebody looks at it.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = if self.columns.is_some() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(&escaped(&text.map_err(OutError::NotJson)?))
    }

    /// Rows under a heading, columns aligned, the last one cut at the terminal's edge.
    pub(crate) fn table<const N: usize>(
        &self,
        heading: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), CliError> {
        let mut stdout = std::io::stdout().lock();
        for (row, line) in table_lines(heading, rows, self.columns).iter().enumerate() {
            let line = if row == 0 { self.bold(line) } else { line.clone() };
            writeln!(stdout, "{line}").map_err(OutError::Output)?;
        }
        Ok(())
    }

    /// Names and values, one pair a line.
    pub(crate) fn pairs(&self, pairs: &[(&str, String)]) -> Result<(), CliError> {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut stdout = std::io::stdout().lock();
        for (name, value) in pairs {
            let name = self.bold(&format!("{name:width$}"));
            writeln!(stdout, "{name}  {}", clean(value)).map_err(OutError::Output)?;
        }
        Ok(())
    }

    /// Emphasised, where that can be seen.
    pub(crate) fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Green, where that can be seen.
    pub(crate) fn good(&self, text: &str) -> String {
        self.styled("32", text)
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Somebody else's text on one line, without anything a terminal would act on.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' | '\r' | '\t' => clean.push(' '),
            char if char.is_control() || is_direction(char) => clean.push('\u{fffd}'),
            char => clean.push(char),
        }
    }
    clean
}

/// JSON whose texts have no character that a terminal would act on: JSON itself escapes the first 32 only.
pub(crate) fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            // Between values: within a text it is escaped already.
            '\n' => escaped.push(char),
            char if char.is_control() || is_direction(char) => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => escaped.push(char),
        }
    }
    escaped
}

/// Bidirectional overrides can make a line read other than it is.
fn is_direction(char: char) -> bool {
    matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1 node`, `2 nodes`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// The first `limit` characters as people count them, with an ellipsis for the rest.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.graphemes(true).count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.graphemes(true).take(limit.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The date and time of `2026-11-23T00:39:41.123Z` without the noise.
pub(crate) fn short_time(datetime: &str) -> String {
    datetime.get(..16).map_or_else(|| datetime.to_owned(), |minutes| minutes.replace('T', " "))
}

fn table_lines<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    columns: Option<usize>,
) -> Vec<String> {
    let heading = heading.map(str::to_owned);
    let rows: Vec<[String; N]> =
        std::iter::once(&heading).chain(rows).map(|row| row.clone().map(|cell| clean(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.graphemes(true).count());
        }
    }
    let before_last: usize = widths.iter().take(N.saturating_sub(1)).map(|width| width + 2).sum();
    let last_max = columns.map_or(usize::MAX, |columns| columns.saturating_sub(before_last).max(20));
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                if column + 1 == N {
                    line.push_str(&shortened(cell, last_max));
                } else {
                    line.push_str(cell);
                    let padding = (width + 2).saturating_sub(cell.graphemes(true).count());
                    line.extend(std::iter::repeat_n(' ', padding));
                }
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}

fn terminal_columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_cut() {
        let rows = [["a".to_owned(), "x".repeat(40)], ["née".to_owned(), "y".to_owned()]];
        let lines = table_lines(["NAME", "TEXT"], &rows, Some(30));
        assert_eq!(lines, ["NAME  TEXT", &format!("a     {}…", "x".repeat(23)), "née   y"]);
        assert_eq!(table_lines(["NAME", "TEXT"], &rows, None)[1].len(), 46);
    }

    #[test]
    fn a_memory_can_not_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc\u{202e}d\u{7}"), "a\u{fffd}[2Jb c\u{fffd}d\u{fffd}");
    }

    #[test]
    fn a_memory_can_not_drive_the_terminal_as_json_either() {
        let memory = serde_json::json!({"a": "\u{9b}2J\u{7f}\u{202e}\u{1b}\n \u{e9}"});
        let text = escaped(&serde_json::to_string_pretty(&memory).unwrap());
        assert!(
            text.chars().all(|char| char == '\n' || !(char.is_control() || is_direction(char))),
            "{text:?}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), memory);
        assert!(text.contains("\\u009b2J\\u007f\\u202e\\u001b\\n \u{e9}"), "{text}");
    }

    #[test]
    fn one_thing_is_no_things() {
        assert_eq!((counted(1, "node"), counted(0, "node")), ("1 node".to_owned(), "0 nodes".to_owned()));
    }

    #[test]
    fn times_are_short() {
        assert_eq!(short_time("2026-11-23T00:39:41.123Z"), "2026-11-23 00:39");
        assert_eq!(short_time("soon"), "soon");
    }
}
