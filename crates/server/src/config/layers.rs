//! Reads the layers of the configuration, one over the other, and remembers where each value
//! came from.

mod places;

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::de::DeTable;
use toml::{Table, Value};

use super::interpolation::interpolate;
use super::nearest::nearest;
use super::path::{Path, leaves};
use super::problem::{ConfigCheck, ConfigError, ConfigOrigin, ConfigProblem};
use super::reference::{FULL, config_variables, known_keys, pattern};
use super::{Config, ConfigSources};
use places::{absent, line_and_column, remove, set, table_places};

/// Reads the sources into a configuration.
pub(super) fn load(sources: &ConfigSources) -> Result<Config, ConfigError> {
    let mut layers = Layers {
        environment: &sources.environment,
        values: Table::new(),
        origins: BTreeMap::new(),
        problems: Vec::new(),
    };
    if let Some(file) = &sources.file {
        layers.add_file(file)?;
    }
    layers.add_variables();
    for flag in &sources.flags {
        layers.add_text(flag.key, &flag.value, &ConfigOrigin::Flag(flag.flag));
    }
    layers.finish()
}

/// What was read so far.
struct Layers<'a> {
    environment: &'a BTreeMap<String, String>,
    values: Table,
    origins: BTreeMap<Path, ConfigOrigin>,
    problems: Vec<ConfigProblem>,
}

impl Layers<'_> {
    fn add_file(&mut self, file: &PathBuf) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { file: file.clone(), source })?;
        let spanned = DeTable::parse(&text).map_err(|error| syntax_error(file, &text, &error))?;
        let values: Table = text.parse().map_err(|error| syntax_error(file, &text, &error))?;
        let mut places = Vec::new();
        table_places(spanned.get_ref(), &Path::default(), &mut places);
        for (path, at) in places {
            let line = Some(line_and_column(&text, at).0);
            self.origins.insert(path, ConfigOrigin::File { file: file.clone(), line });
        }
        let pattern = Value::Table(FULL.clone());
        let fitted = self.fit(Value::Table(values), &pattern, &Path::default());
        if let Value::Table(table) = fitted {
            self.values = table;
        }
        Ok(())
    }

    fn add_variables(&mut self) {
        let known = config_variables();
        for (name, text) in self.environment {
            let Some(variable) = known.iter().find(|variable| variable.name == *name) else {
                // Only a double underscore marks a key: TIDINGS_URL is the command line's.
                if name.starts_with("TIDINGS_") && name.contains("__") {
                    let meant = nearest(name, known.iter().map(|v| v.name.as_str()));
                    let origin = ConfigOrigin::Unknown;
                    self.problems.push(ConfigProblem {
                        origin,
                        key: name.clone(),
                        value: None,
                        what: unknown("variable", meant, "`tidings config env` lists all"),
                    });
                }
                continue;
            };
            self.add_text(&variable.key, text, &ConfigOrigin::Variable(name.clone()));
        }
    }

    /// Sets `key` to what `text` says, read as the key's type.
    fn add_text(&mut self, key: &str, text: &str, origin: &ConfigOrigin) {
        let path = Path::parse(key);
        self.origins.retain(|known, _| !known.steps().starts_with(path.steps()));
        self.origins.insert(path.clone(), origin.clone());
        let Some(pattern) = pattern(&path) else {
            return self.report(&path, None, "unknown key".to_owned());
        };
        let value = self.typed(text, pattern, &path);
        set(&mut self.values, path.steps(), value);
    }

    /// Finishes with a configuration, or with everything that is wrong.
    fn finish(mut self) -> Result<Config, ConfigError> {
        match self.values.clone().try_into() {
            Ok(config) if self.problems.is_empty() => return Ok(config),
            Ok(_stand_ins) => {}
            Err(error) => {
                self.find_wrong_values();
                self.find_missing_keys();
                if self.problems.is_empty() {
                    let what = error.message().to_owned();
                    self.report(&Path::default().key("configuration"), None, what);
                }
            }
        }
        Err(ConfigError::Invalid { problems: self.problems, checked: ConfigCheck::EachKey })
    }

    /// Tries each value alone, in the place it has in the full reference, to tell all that are
    /// wrong and not only the first.
    fn find_wrong_values(&mut self) {
        let mut found = Vec::new();
        leaves(&Value::Table(self.values.clone()), &Path::default(), &mut found);
        for (path, value) in found {
            let mut table = FULL.clone();
            set(&mut table, path.steps(), value.clone());
            if let Err(error) = table.try_into::<Config>() {
                self.report(&path, Some(&value), error.message().to_owned());
            }
        }
    }

    /// Takes each key that a section leaves out away from the full reference: what cannot do
    /// without it is told.
    fn find_missing_keys(&mut self) {
        for (section, key) in absent(&self.values, &FULL) {
            let mut table = FULL.clone();
            remove(&mut table, section.key(&key).steps());
            if let Err(error) = table.try_into::<Config>() {
                self.report(&section, None, error.message().to_owned());
            }
        }
    }

    /// Checks `value` against the reference: known keys, right types; fills in variables.
    ///
    /// What does not fit is reported, and the value of the reference stands in for it: so the
    /// key is not told to be missing as well, and elements of lists keep their numbers.
    fn fit(&mut self, value: Value, pattern: &Value, at: &Path) -> Value {
        match (value, pattern) {
            (Value::Table(table), Value::Table(known)) => {
                let mut fitted = Table::new();
                for (key, value) in table {
                    let path = at.key(&key);
                    match known.get(&key) {
                        Some(pattern) => {
                            let value = self.fit(value, pattern, &path);
                            fitted.insert(key, value);
                        }
                        None => {
                            if let Some((meant, value)) = self.report_unknown(&path, &key, known) {
                                fitted.entry(meant).or_insert(value);
                            }
                        }
                    }
                }
                Value::Table(fitted)
            }
            (Value::Array(array), Value::Array(known)) => {
                let pattern = known.first().expect("arrays of the full reference have an element");
                let mut fitted = Vec::with_capacity(array.len());
                for (index, value) in array.into_iter().enumerate() {
                    fitted.push(self.fit(value, pattern, &at.index(index)));
                }
                Value::Array(fitted)
            }
            (Value::String(text), pattern) => match interpolate(&text, self.environment) {
                Ok(Some(filled)) => self.typed(&filled, pattern, at),
                Ok(None) if pattern.is_str() => Value::String(text),
                Ok(None) => self.mismatch(at, &Value::String(text), pattern),
                Err(error) => {
                    self.report(at, Some(&Value::String(text)), error.to_string());
                    pattern.clone()
                }
            },
            (value, pattern) if value.same_type(pattern) => value,
            (value, pattern) => self.mismatch(at, &value, pattern),
        }
    }

    /// Reads a text from outside the file as the type that `pattern` has.
    fn typed(&mut self, text: &str, pattern: &Value, at: &Path) -> Value {
        let value = match pattern {
            Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
            Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
            Value::Array(known)
                if known.iter().all(Value::is_str) && !text.trim().starts_with('[') =>
            {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(Value::from).collect()))
            }
            Value::Array(_) | Value::Table(_) => {
                let parsed = format!("value = {}", text.trim()).parse::<Table>().ok();
                let value = parsed.and_then(|mut table| table.remove("value"));
                return match value {
                    Some(value) => self.fit(value, pattern, at),
                    None => self.mismatch(at, &Value::from(text), pattern),
                };
            }
            Value::String(_) | Value::Float(_) | Value::Datetime(_) => Some(Value::from(text)),
        };
        value.unwrap_or_else(|| self.mismatch(at, &Value::from(text), pattern))
    }

    /// Reports a value of the wrong type. Returns the one that stands in for it.
    fn mismatch(&mut self, at: &Path, value: &Value, pattern: &Value) -> Value {
        let what = match pattern {
            Value::String(example) => format!("expected a text, such as {example:?}"),
            Value::Integer(example) => format!("expected a whole number, such as {example}"),
            Value::Boolean(_) => "expected true or false".to_owned(),
            Value::Array(_) => format!("expected a list, such as {pattern}"),
            Value::Table(_) => "expected a section with keys".to_owned(),
            Value::Float(_) | Value::Datetime(_) => "expected another type".to_owned(),
        };
        self.report(at, Some(value), what);
        pattern.clone()
    }

    /// Reports a key that is not known. Returns the one of its section that was probably meant,
    /// with a value that stands in for it.
    fn report_unknown(&mut self, path: &Path, key: &str, known: &Table) -> Option<(String, Value)> {
        let siblings = nearest(key, known.keys().map(String::as_str));
        let everywhere = known_keys();
        // A key under the wrong section is found by its last word.
        let elsewhere = everywhere.iter().find(|known| known.rsplit('.').next() == Some(key));
        let meant = siblings.or(elsewhere.map(String::as_str));
        let what = unknown("key", meant, "`tidings config default` shows all");
        self.report(path, None, what);
        siblings.map(|meant| (meant.to_owned(), known[meant].clone()))
    }

    fn report(&mut self, path: &Path, value: Option<&Value>, what: String) {
        let origin = path.upwards().find_map(|path| self.origins.get(&path).cloned());
        let shown = value.filter(|value| !value.is_table() && !value.is_array());
        let hidden = || path.is_secret().then(|| "***".to_owned());
        let value = shown.map(|value| hidden().unwrap_or_else(|| value.to_string()));
        let origin = origin.unwrap_or(ConfigOrigin::Unknown);
        self.problems.push(ConfigProblem { origin, key: path.to_string(), value, what });
    }
}

fn unknown(what: &str, meant: Option<&str>, otherwise: &str) -> String {
    match meant {
        Some(meant) => format!("unknown {what}; did you mean `{meant}`?"),
        None => format!("unknown {what}; {otherwise}"),
    }
}

fn syntax_error(file: &std::path::Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    let (line, column) = line_and_column(text, at);
    ConfigError::Syntax { file: file.to_owned(), line, column, message: error.message().to_owned() }
}

#[cfg(test)]
mod tests;
