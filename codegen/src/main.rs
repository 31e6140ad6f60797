//! Lexicons to Rust.
fn main() {}
