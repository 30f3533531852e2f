//! Values and their places: putting one in, finding sections, and lines of a file.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::super::path::{Path, Step};

/// Puts `value` at a place, making what is missing on the way. Of an array only one element is
/// kept on the way: it is there to try a value, not to build a document.
pub(super) fn set(table: &mut Table, steps: &[Step], value: Value) {
    let Some((Step::Key(key), below)) = steps.split_first() else { return };
    match below {
        [] => {
            table.insert(key.clone(), value);
        }
        [Step::Index(_)] => {
            table.insert(key.clone(), Value::Array(vec![value]));
        }
        [Step::Index(_), below @ ..] => {
            let entry = table.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(array) = entry else { return };
            if array.is_empty() {
                array.push(Value::Table(Table::new()));
            }
            if let Some(Value::Table(table)) = array.first_mut() {
                set(table, below, value);
            }
        }
        [Step::Key(_), ..] => {
            let entry = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(table) = entry {
                set(table, below, value);
            }
        }
    }
}

/// Tables and elements of arrays of tables, innermost first.
pub(super) fn sections(values: &Table) -> Vec<(Path, Value)> {
    let mut out = Vec::new();
    for (key, value) in values {
        collect_sections(value, &Path::default().key(key), &mut out);
    }
    out
}

fn collect_sections(value: &Value, at: &Path, out: &mut Vec<(Path, Value)>) {
    match value {
        Value::Table(table) => {
            let before = out.len();
            for (key, value) in table {
                collect_sections(value, &at.key(key), out);
            }
            // A section with lists of sections is judged by those: its own keys have defaults.
            if out.len() == before {
                out.push((at.clone(), value.clone()));
            }
        }
        Value::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                collect_sections(value, &at.index(index), out);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => {}
    }
}

/// Where each key and element of a parsed file stands.
pub(super) fn table_places(table: &DeTable<'_>, at: &Path, out: &mut Vec<(Path, usize)>) {
    for (key, value) in table.iter() {
        let path = at.key(key.get_ref());
        out.push((path.clone(), key.span().start));
        value_places(value, &path, out);
    }
}

fn value_places(value: &Spanned<DeValue<'_>>, at: &Path, out: &mut Vec<(Path, usize)>) {
    if let Some(table) = value.get_ref().as_table() {
        table_places(table, at, out);
    } else if let Some(array) = value.get_ref().as_array() {
        for (index, element) in array.iter().enumerate() {
            let path = at.index(index);
            out.push((path.clone(), element.span().start));
            value_places(element, &path, out);
        }
    }
}

/// Where byte `at` of `text` stands: both from 1.
pub(super) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
