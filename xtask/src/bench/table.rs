//! Figures by server, as a Markdown table.

use std::fmt;

/// Figures in the order they came, one column a server.
#[derive(Debug, Default)]
pub(crate) struct Table {
    servers: Vec<&'static str>,
    rows: Vec<(String, Vec<(&'static str, f64)>)>,
}

impl Table {
    pub(crate) fn add(&mut self, figure: &str, server: &'static str, value: f64) {
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
        match self.rows.iter_mut().find(|(name, _)| name == figure) {
            Some((_, values)) => values.push((server, value)),
            None => self.rows.push((figure.to_owned(), vec![(server, value)])),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| | {} |", self.servers.join(" | "))?;
        writeln!(out, "|---|{}", "---:|".repeat(self.servers.len()))?;
        for (figure, values) in &self.rows {
            write!(out, "| {figure} |")?;
            for server in &self.servers {
                let value = values.iter().find(|(name, _)| name == server);
                write!(out, " {} |", value.map_or_else(|| "-".to_owned(), |(_, value)| number(*value)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
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
}
