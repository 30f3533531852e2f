//! The configuration as a page of the documentation, made from the reference.

use std::fmt::Write as _;

use super::reference::{as_unset, config_reference};

/// The page `docs/configuration.md`: each section and key with its default and meaning.
pub fn config_document() -> String {
    let mut page = String::from("# Configuration\n\n");
    page.push_str("<!-- Made from crates/server/src/config/reference.toml; do not edit. -->\n\n");
    let mut prose: Vec<&str> = Vec::new();
    let mut is_start = true;
    for line in config_reference().lines() {
        if let Some(words) = line.strip_prefix("# ") {
            prose.push(words);
        } else if line == "#" {
            prose.push("");
        } else if line.is_empty() {
            // Only the introduction ends with an empty line and no key or header.
            if is_start && !prose.is_empty() {
                let _ = writeln!(page, "{}\n", paragraphs(&prose));
                prose.clear();
                is_start = false;
            }
        } else {
            let item = item(line, &prose);
            let _ = writeln!(page, "{item}\n");
            prose.clear();
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// One section header or key with what is said about it.
fn item(line: &str, prose: &[&str]) -> String {
    let unset = as_unset(line);
    let text = unset.unwrap_or(line);
    if text.starts_with('[') {
        return format!("## `{text}`\n\n{}", paragraphs(prose));
    }
    let (key, value) = text.split_once(" = ").unwrap_or((text, ""));
    let shown = if unset.is_some() { "for example" } else { "default" };
    format!("**`{key}`** ({shown} `{value}`): {}", paragraphs(prose))
}

/// Joins lines to paragraphs.
fn paragraphs(prose: &[&str]) -> String {
    prose
        .split(|line| line.is_empty())
        .map(|lines| lines.join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let file = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
            .join("../../docs/configuration.md");
        let page = config_document();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == page,
            "docs/configuration.md is not what reference.toml says; run this test with UPDATE_EXPECT=1"
        );
    }

    #[test]
    fn every_key_is_on_the_page() {
        let page = config_document();
        for key in super::super::reference::known_keys() {
            let name = key.rsplit('.').next().unwrap();
            assert!(
                page.contains(&format!("`{name}`")) || page.contains(&format!("{name} =")),
                "{key}"
            );
        }
    }
}
