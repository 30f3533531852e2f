//! `${NAME}` and `${NAME:-default}` in texts of the file.

use std::collections::BTreeMap;

/// Why a text cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InterpolationError {
    /// A variable has no value and no default.
    #[error("the environment variable {0} is not set; set it, or write ${{{0}:-default}}")]
    Unset(String),
    /// What stands between the braces is not a variable's name.
    #[error(
        "not a variable: write ${{NAME}} or ${{NAME:-default}}, and $$ for a dollar sign before a brace"
    )]
    Malformed,
}

/// Fills in the variables of `text`. `None` if it has none. `$${` stands for `${` itself.
pub(super) fn interpolate(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>, InterpolationError> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from_dollar) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &from_dollar[2..];
            continue;
        }
        out.push_str(before);
        let (inside, after) =
            from_dollar[2..].split_once('}').ok_or(InterpolationError::Malformed)?;
        out.push_str(&value_of(inside, environment)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn value_of(
    inside: &str,
    environment: &BTreeMap<String, String>,
) -> Result<String, InterpolationError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name_byte) {
        return Err(InterpolationError::Malformed);
    }
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    let value = environment.get(name).filter(|value| default.is_none() || !value.is_empty());
    value
        .cloned()
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| InterpolationError::Unset(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Option<String>, InterpolationError> {
        let pairs = [("HOST", "example.org"), ("EMPTY", "")];
        interpolate(text, &pairs.map(|(name, value)| (name.into(), value.into())).into())
    }

    #[test]
    fn fills_in_variables_and_defaults() {
        for (text, expected) in [
            ("${HOST}", "example.org"),
            ("https://${HOST}:${PORT:-8000}/", "https://example.org:8000/"),
            ("${HOST:-other}", "example.org"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${MISSING:-}", ""),
            ("a $${HOST} b", "a ${HOST} b"),
            ("${MISSING:-a:-b}", "a:-b"),
        ] {
            assert_eq!(check(text), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(check("$HOST {HOST} $"), Ok(None));
    }

    #[test]
    fn tells_what_is_missing_or_malformed() {
        assert_eq!(check("${PORT}"), Err(InterpolationError::Unset("PORT".to_owned())));
        for text in ["${HOST", "${}", "${:-x}", "${A B}"] {
            assert_eq!(check(text), Err(InterpolationError::Malformed), "{text}");
        }
    }
}
