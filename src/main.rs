//! zap
fn main() {}
