//! What commands print: tables and lines for people, JSON for programs.
//!
//! Text that came from a server is shown without control characters: a memory must not be able to move the cursor or
//! retitle the reader's terminal. A reader that stops early (`zap memories alice | head -1`) is no error.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::error::CliError;
use super::explain::{Code, Explain};

/// Columns of a terminal that does not tell its own.
const COLUMNS_DEFAULT: usize = 120;
/// Between two columns of a table.
const GAP: usize = 2;
/// A column of words is not made narrower: a time to the minute.
const WORDS_COLUMNS_MIN: usize = 16;

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

    /// Rows under a heading. Where a terminal has no room for them side by side, columns of words are cut, the widest first;
    /// where that is not enough, each row becomes a block. A single word, which somebody may want to copy, is never cut.
    pub(crate) fn table<const N: usize>(
        &self,
        heading: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), CliError> {
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| clean(cell))).collect();
        let Some(lines) = table_lines(heading, &rows, self.columns) else {
            for (number, row) in rows.iter().enumerate() {
                if number > 0 {
                    self.line("")?;
                }
                let names = heading.iter().map(|name| name.to_lowercase());
                let pairs: Vec<_> = names.zip(row).collect();
                let pairs: Vec<_> =
                    pairs.iter().map(|(name, cell)| (name.as_str(), (*cell).clone())).collect();
                self.pairs(&pairs)?;
            }
            return Ok(());
        };
        let mut stdout = std::io::stdout().lock();
        for (row, line) in lines.iter().enumerate() {
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

/// The lines of a table, the heading first; `None` where the terminal is too narrow for one.
fn table_lines<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    columns: Option<usize>,
) -> Option<Vec<String>> {
    let heading = heading.map(str::to_owned);
    let mut widths = heading.each_ref().map(|name| name.width());
    let mut are_words = [false; N];
    for row in rows {
        for ((width, are_words), cell) in widths.iter_mut().zip(&mut are_words).zip(row) {
            *width = (*width).max(cell.width());
            *are_words |= cell.contains(' ');
        }
    }
    let room = columns.map(|columns| columns.saturating_sub(GAP * N.saturating_sub(1)));
    fit(&mut widths, are_words, room.unwrap_or(usize::MAX))?;
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = cut(cell, width);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', (width + GAP).saturating_sub(cell.width())));
        }
        line.truncate(line.trim_end().len());
        line
    };
    Some(std::iter::once(&heading).chain(rows).map(line).collect())
}

/// Makes columns of words narrower, the widest first, until all have room.
fn fit<const N: usize>(widths: &mut [usize; N], are_words: [bool; N], room: usize) -> Option<()> {
    loop {
        let too_much =
            widths.iter().fold(0_usize, |all, width| all.saturating_add(*width)).saturating_sub(room);
        if too_much == 0 {
            return Some(());
        }
        let mut wide: Vec<_> = widths.iter_mut().zip(are_words).filter(|(_, words)| *words).collect();
        wide.sort_unstable_by_key(|(width, _)| std::cmp::Reverse(**width));
        let next = wide.get(1).map_or(0, |(width, _)| **width).max(WORDS_COLUMNS_MIN);
        let (widest, _) = wide.first_mut().filter(|(width, _)| **width > WORDS_COLUMNS_MIN)?;
        // Down to the next one, and then in turns.
        let step = widest.saturating_sub(next).clamp(1, too_much);
        **widest -= step;
    }
}

/// As much of a text as has room, with an ellipsis for the rest.
fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 1;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > columns {
            break;
        }
        kept.push_str(grapheme);
    }
    kept.push('…');
    Cow::Owned(kept)
}

fn terminal_columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(row: [&str; N]) -> [String; N] {
        row.map(str::to_owned)
    }

    #[test]
    fn columns_of_words_are_cut_and_single_words_are_not() {
        let words = "word ".repeat(20);
        let rows = [row(["kv4f6phif8hv2g00", words.trim(), &words]), row(["née", "", "y"])];
        let lines = table_lines(["KEY", "WHY", "TEXT"], &rows, Some(60)).unwrap();
        assert_eq!(
            lines,
            [
                "KEY               WHY                   TEXT",
                "kv4f6phif8hv2g00  word word word word…  word word word word…",
                "née                                     y",
            ]
        );
        let whole = table_lines(["KEY", "WHY", "TEXT"], &rows, None).unwrap();
        assert!(whole[1].ends_with("word") && whole[1].len() > 200, "nothing is cut in a pipe");
        assert_eq!(table_lines(["KEY", "WHY", "TEXT"], &rows, Some(50)), None, "blocks are better then");
    }

    /// What breaks: a line of Chinese is twice as wide as was counted, and all after it stands elsewhere.
    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [row(["日本", "茶は四時です そして静か"]), row(["a", "tea"])];
        let lines = table_lines(["NAME", "TEXT"], &rows, Some(24)).unwrap();
        assert_eq!(lines, ["NAME  TEXT", "日本  茶は四時です そし…", "a     tea"]);
        assert!(lines.iter().all(|line| line.width() <= 24));
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
