//! How a command that fails says so: in one line, with a stable exit code.

use std::io;
use std::process::ExitCode;

/// The command line asks for something that makes no sense. Exit code 2, as for what clap finds.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl UsageError {
    /// With what is wrong and what to write instead.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Tells what went wrong on standard error and gives the exit code: 2 for usage, 1 for the rest.
/// A reader that went away (`tidings sub … | head -1`) is no failure.
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", text(error));
    ExitCode::from(code(error))
}

/// The error with its causes, each once: some texts have their cause's text in them already.
fn text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<UsageError>().is_some() { 2 } else { 1 }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_told_apart_from_failure() {
        assert_eq!(code(&UsageError::new("no").into()), 2);
        assert_eq!(code(&anyhow::Error::from(UsageError::new("no")).context("while")), 2);
        assert_eq!(code(&anyhow::anyhow!("down")), 1);
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("the port is in use").context("cannot listen");
        assert_eq!(text(&error), "cannot listen: the port is in use");
        let error = error.context("cannot listen: the port is in use");
        assert_eq!(text(&error), "cannot listen: the port is in use");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        assert!(is_broken_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
