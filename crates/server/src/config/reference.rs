//! The complete configuration with comments: what `tidings config default` prints, what the
//! documentation is made from, and the schema of the reader.
//!
//! A line that starts with `#` and no blank is a key that is not set by default; other lines that
//! start with `#` are prose. With those marks taken away the text is the *full* reference, where
//! every key occurs once with a value of its type.

use std::sync::LazyLock;

use toml::{Table, Value};

use super::path::{Path, Step, leaves};

/// The complete configuration with comments.
pub const fn config_reference() -> &'static str {
    include_str!("reference.toml")
}

/// Every key with a value of its type.
pub(super) static FULL: LazyLock<Table> = LazyLock::new(|| {
    full_text(config_reference()).parse().expect("reference.toml is TOML, a test sees to it")
});

/// The reference with its commented-out keys put in force.
pub(super) fn full_text(reference: &str) -> String {
    let line = |line: &str| match as_unset(line) {
        Some(unset) => format!("{unset}\n"),
        None => format!("{line}\n"),
    };
    reference.lines().map(line).collect()
}

/// The key or section header on a line that is commented out.
pub(super) fn as_unset(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?;
    (!rest.is_empty() && !rest.starts_with([' ', '#'])).then_some(rest)
}

/// What the full reference has at `path`, whichever element of an array is meant.
pub(super) fn pattern(path: &Path) -> Option<&'static Value> {
    let (Step::Key(top), below) = path.steps().split_first()? else { return None };
    below.iter().try_fold(FULL.get(top)?, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(_) => value.get(0),
    })
}

/// An environment variable that sets a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVariable {
    /// Its name (`TIDINGS_SERVER__LISTEN`).
    pub name: String,
    /// The key it sets (`server.listen`).
    pub key: String,
    /// How a value looks.
    pub example: String,
}

/// Every environment variable that sets a key, by name.
pub fn config_variables() -> Vec<ConfigVariable> {
    let mut variables = Vec::new();
    for (section, value) in &*FULL {
        // A list of sections is set as a whole, as TOML.
        let Value::Table(keys) = value else {
            variables.push(variable(section, value));
            continue;
        };
        variables
            .extend(keys.iter().map(|(key, value)| variable(&format!("{section}.{key}"), value)));
    }
    variables
}

fn variable(key: &str, value: &Value) -> ConfigVariable {
    let name = format!("TIDINGS_{}", key.replace('.', "__").to_uppercase());
    let example = match value {
        Value::String(text) => text.clone(),
        Value::Array(_)
        | Value::Table(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => value.to_string(),
    };
    ConfigVariable { name, key: key.to_owned(), example }
}

/// Every dotted key of the full reference, indices left out.
pub(super) fn known_keys() -> Vec<String> {
    let mut found = Vec::new();
    leaves(&Value::Table(FULL.clone()), &Path::default(), &mut found);
    found.into_iter().map(|(path, _)| path.to_string().replace("[0]", "")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Config, TopicSection};

    #[test]
    fn the_reference_is_the_default_configuration() {
        let config: Config = toml::from_str(config_reference()).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_defaults_named_for_topics_are_the_defaults() {
        let full: Config = FULL.clone().try_into().unwrap();
        let mut expected = TopicSection::new(full.topic[0].filter.clone());
        expected.retention_messages = full.topic[0].retention_messages;
        expected.retention_bytes = full.topic[0].retention_bytes;
        expected.backlog_max = full.topic[0].backlog_max;
        assert_eq!(full.topic, [expected]);
    }

    /// Asks serde for the fields of each struct: it lists them when it meets an unknown one.
    fn fields(section: &Path) -> BTreeSet<String> {
        let mut table = FULL.clone();
        let mut at = &mut table;
        for step in section.steps() {
            let Step::Key(key) = step else { continue };
            at = match at.get_mut(key).unwrap() {
                Value::Array(array) => array[0].as_table_mut().unwrap(),
                value => value.as_table_mut().unwrap(),
            };
        }
        at.insert("no such key".to_owned(), Value::Boolean(true));
        let message = table.try_into::<Config>().unwrap_err().message().to_owned();
        let (_, expected) = message.split_once("expected").unwrap();
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Every section of the full reference and the keys it names.
    fn sections(value: &Value, at: &Path, out: &mut Vec<(Path, BTreeSet<String>)>) {
        match value {
            Value::Table(table) => {
                out.push((at.clone(), table.keys().cloned().collect()));
                for (key, value) in table {
                    sections(value, &at.key(key), out);
                }
            }
            Value::Array(array) => sections(&array[0], &at.index(0), out),
            _leaf => {}
        }
    }

    #[test]
    fn the_reference_has_exactly_the_keys_of_the_structs() {
        let mut found = Vec::new();
        sections(&Value::Table(FULL.clone()), &Path::default(), &mut found);
        assert_eq!(found.len(), 15, "{found:?}");
        for (section, keys) in found {
            assert_eq!(keys, fields(&section), "section [{section}]");
        }
    }

    #[test]
    fn every_variable_sets_its_key() {
        let variables = config_variables();
        let find = |name: &str| variables.iter().find(|v| v.name == name).map(|v| v.key.as_str());
        assert_eq!(find("TIDINGS_SERVER__LISTEN"), Some("server.listen"));
        assert_eq!(find("TIDINGS_TLS__KEY_FILE"), Some("tls.key_file"));
        assert_eq!(find("TIDINGS_TOPIC"), Some("topic"));
        for variable in &variables {
            let sources = crate::config::ConfigSources {
                environment: [
                    (variable.name.clone(), variable.example.clone()),
                    ("TIDINGS_TLS__KEY_FILE".to_owned(), "key.pem".to_owned()),
                    ("TIDINGS_TLS__CERTIFICATE_FILE".to_owned(), "cert.pem".to_owned()),
                ]
                .into(),
                ..Default::default()
            };
            Config::load(&sources).unwrap_or_else(|error| panic!("{}: {error}", variable.name));
        }
    }
}
