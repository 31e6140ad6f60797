//! Figures by server, as a Markdown table; of two servers, with the difference.

use std::fmt;

/// A difference up to this many percent is noise.
const NOISE_PERCENT: f64 = 3.0;

/// Figures in the order they came, one column a server. A figure that came more than once is its median.
#[derive(Debug, Default)]
pub(crate) struct Table {
    servers: Vec<&'static str>,
    rows: Vec<(String, Columns)>,
}

/// A figure's values by server.
type Columns = Vec<(&'static str, Vec<f64>)>;

/// A table of two servers, the second held against the first.
pub(crate) struct Comparison<'a>(&'a Table);

impl Table {
    pub(crate) fn add(&mut self, figure: &str, server: &'static str, value: f64) {
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
        let index = self.rows.iter().position(|(name, _)| name == figure).unwrap_or(self.rows.len());
        if index == self.rows.len() {
            self.rows.push((figure.to_owned(), Vec::new()));
        }
        let Some((_, columns)) = self.rows.get_mut(index) else { return };
        match columns.iter_mut().find(|(name, _)| *name == server) {
            Some((_, values)) => values.push(value),
            None => columns.push((server, vec![value])),
        }
    }

    pub(crate) fn comparison(&self) -> Comparison<'_> {
        Comparison(self)
    }

    /// Each row's figure with the median of each server.
    fn medians(&self) -> impl Iterator<Item = (&str, Vec<Option<f64>>)> {
        self.rows.iter().map(|(figure, columns)| {
            let of = |server: &&str| columns.iter().find(|(name, _)| name == server);
            let values = self.servers.iter().map(|server| of(server).and_then(|(_, values)| median(values)));
            (figure.as_str(), values.collect())
        })
    }

    fn head(&self, out: &mut fmt::Formatter<'_>, more: &[&str]) -> fmt::Result {
        let columns = [&self.servers, more].concat();
        writeln!(out, "| | {} |", columns.join(" | "))?;
        writeln!(out, "|---|{}", "---:|".repeat(columns.len()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(out, &[])?;
        for (figure, values) in self.medians() {
            writeln!(out, "| {figure} | {} |", cells(&values))?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.head(out, &["difference"])?;
        let mut worse = Vec::new();
        for (figure, values) in self.0.medians() {
            let percent = match values.as_slice() {
                [Some(before), Some(after)] if *before != 0.0 => Some((after / before - 1.0) * 100.0),
                _ => None,
            };
            let is_worse = percent.is_some_and(|percent| loss(figure, percent) > NOISE_PERCENT);
            let difference = percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1} %"));
            writeln!(
                out,
                "| {figure} | {} | {difference}{} |",
                cells(&values),
                if is_worse { " worse" } else { "" }
            )?;
            if is_worse {
                worse.push(figure);
            }
        }
        let worse = if worse.is_empty() { "none".to_owned() } else { worse.join("; ") };
        writeln!(out, "\nWorse by more than {NOISE_PERCENT} %: {worse}.")
    }
}

/// What a change by so many percent loses: of a rate a fall, of a cost a rise, of a mere count nothing.
fn loss(figure: &str, percent: f64) -> f64 {
    let is_count = figure.ends_with("events delivered") || figure.ends_with("events in the log");
    match figure {
        _ if is_count => 0.0,
        _ if figure.ends_with("/s") => -percent,
        _ => percent,
    }
}

fn cells(values: &[Option<f64>]) -> String {
    let cell = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    values.iter().map(cell).collect::<Vec<_>>().join(" | ")
}

/// The middle value; of an even number, the mean of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// A figure with about three significant digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_figure_is_a_dash() {
        let mut table = Table::default();
        table.add("rate, 1/s", "reference", 101.4);
        table.add("rate, 1/s", "zap", 2345.6);
        table.add("agents", "zap", 0.0123);
        let expected =
            "| | reference | zap |\n|---|---:|---:|\n| rate, 1/s | 101 | 2346 |\n| agents | - | 0.0123 |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn medians_are_compared_and_what_is_worse_is_named() {
        let mut table = Table::default();
        for (before, after) in [(100.0, 90.0), (900.0, 10.0), (101.0, 95.0)] {
            table.add("rate, 1/s", "against", before);
            table.add("rate, 1/s", "zap", after);
            table.add("rate, CPU ms", "against", 2.0);
            table.add("rate, CPU ms", "zap", 2.04);
            table.add("events in the log", "against", before);
            table.add("events in the log", "zap", before * 2.0);
        }
        let expected = "\
            | | against | zap | difference |\n|---|---:|---:|---:|\n| rate, 1/s | 101 | 90.0 | -10.9 % worse |\n\
            | rate, CPU ms | 2.00 | 2.04 | +2.0 % |\n| events in the log | 101 | 202 | +100.0 % |\n\n\
            Worse by more than 3 %: rate, 1/s.\n";
        assert_eq!(table.comparison().to_string(), expected);
        assert_eq!((median(&[1.0, 4.0, 2.0, 3.0]), median(&[])), (Some(2.5), None));
    }
}
