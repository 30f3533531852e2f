//! Places in a TOML document: `auth.keys[0].secret`.

use std::fmt;

use toml::Value;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// A place in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// The place of a dotted key without indices.
    pub(super) fn parse(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    /// The place one key below.
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    /// The place one element below.
    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// The steps from the top.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The places above this one, nearest first, this one included, the top left out.
    pub(super) fn upwards(&self) -> impl Iterator<Item = Self> {
        (1..=self.0.len()).rev().map(|length| Self(self.0[..length].to_vec()))
    }

    /// Whether what stands here must not be shown. Names that end in `_file` are shown.
    pub(super) fn is_secret(&self) -> bool {
        let Some(Step::Key(key)) = self.0.last() else { return false };
        matches!(key.as_str(), "secret" | "key" | "operator_key")
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Every value below `value` that is not a table, with its place. Arrays of tables are entered,
/// other arrays are leaves.
pub(super) fn leaves(value: &Value, at: &Path, out: &mut Vec<(Path, Value)>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                leaves(value, &at.key(key), out);
            }
        }
        Value::Array(array) if array.iter().any(Value::is_table) => {
            for (index, value) in array.iter().enumerate() {
                leaves(value, &at.index(index), out);
            }
        }
        Value::Array(_)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => out.push((at.clone(), value.clone())),
    }
}
