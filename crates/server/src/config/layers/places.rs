//! Values and their places: putting one in, taking one away, what is absent, and lines of a file.

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

/// Takes the key at a place away, in the first element of each array on the way.
pub(super) fn remove(table: &mut Table, steps: &[Step]) {
    let Some((Step::Key(key), below)) = steps.split_first() else { return };
    match below {
        [] => {
            table.remove(key);
        }
        [Step::Index(_), below @ ..] => {
            let array = table.get_mut(key).and_then(Value::as_array_mut);
            if let Some(Value::Table(table)) = array.and_then(|array| array.first_mut()) {
                remove(table, below);
            }
        }
        [Step::Key(_), ..] => {
            if let Some(Value::Table(table)) = table.get_mut(key) {
                remove(table, below);
            }
        }
    }
}

/// The keys of `full` that sections of `values` leave out, each with its section.
pub(super) fn absent(values: &Table, full: &Table) -> Vec<(Path, String)> {
    let mut out = Vec::new();
    for (key, full) in full {
        if let Some(value) = values.get(key) {
            collect_absent(value, full, &Path::default().key(key), &mut out);
        }
    }
    out
}

fn collect_absent(value: &Value, full: &Value, at: &Path, out: &mut Vec<(Path, String)>) {
    if let (Value::Table(table), Value::Table(full)) = (value, full) {
        for (key, full) in full {
            match table.get(key) {
                Some(value) => collect_absent(value, full, &at.key(key), out),
                None => out.push((at.clone(), key.clone())),
            }
        }
    } else if let (Value::Array(array), Some(full)) = (value, full.get(0)) {
        for (index, value) in array.iter().enumerate() {
            collect_absent(value, full, &at.index(index), out);
        }
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
