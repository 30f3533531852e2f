//! Results on standard output.

use std::io::Write;

use anyhow::Context;

/// Writes all of a result. A reader that went away and a full disk are errors, not panics.
pub(crate) fn write(result: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(result).and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}
