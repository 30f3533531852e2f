//! What can be wrong with a configuration, told so that it can be put right.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}; name an existing file, or start from `tidings config default`", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not TOML: {message}", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// Keys or values are wrong: all of them are here.
    #[error("{}", list(problems, *checked))]
    Invalid {
        /// What is wrong, at least one thing.
        problems: Vec<ConfigProblem>,
        /// How far the check came.
        checked: ConfigCheck,
    },
}

/// How far a check came that found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigCheck {
    /// Each key was looked at by itself. Bounds, and how the keys go together, were not.
    EachKey,
    /// Everything was looked at.
    Everything,
}

fn list(problems: &[ConfigProblem], checked: ConfigCheck) -> String {
    let count = match problems.len() {
        1 => "a problem".to_owned(),
        more => format!("{more} problems"),
    };
    let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let next = match checked {
        ConfigCheck::EachKey => {
            "\nmend these and check again: bounds, files and how the keys go together are checked next"
        }
        ConfigCheck::Everything => "",
    };
    format!("the configuration has {count}:{lines}{next}")
}

impl ConfigError {
    /// An error if a check of everything found problems.
    pub(super) fn unless_empty(problems: Vec<ConfigProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self::Invalid { problems, checked: ConfigCheck::Everything })
    }

    /// The same error, with problems of unknown origin ascribed to `file`: what
    /// [`Config::validate`](super::Config::validate) finds is about values, wherever they stood.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        let Self::Invalid { mut problems, checked } = self else { return self };
        for problem in &mut problems {
            if problem.origin == ConfigOrigin::Unknown {
                problem.origin = ConfigOrigin::File { file: file.to_owned(), line: None };
            }
        }
        Self::Invalid { problems, checked }
    }

    /// What is wrong with keys and values; nothing if the file could not be read at all.
    pub fn problems(&self) -> &[ConfigProblem] {
        match self {
            Self::Invalid { problems, checked: _ } => problems,
            Self::Read { .. } | Self::Syntax { .. } => &[],
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where it came from.
    pub origin: ConfigOrigin,
    /// Which key (`server.listen`, `topic[0].match`).
    pub key: String,
    /// Its value, unless it is long or secret.
    pub value: Option<String>,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, value, what } = self;
        write!(f, "{origin}{key}")?;
        if let Some(value) = value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {what}")
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// Nobody kept it.
    Unknown,
    /// A line of the file.
    File {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1, if it is known.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::File { file, line: Some(line) } => write!(f, "{}:{line}: ", file.display()),
            Self::File { file, line: None } => write!(f, "{}: ", file.display()),
            Self::Variable(name) => write!(f, "{name}: "),
            Self::Flag(flag) => write!(f, "{flag}: "),
        }
    }
}
