//! Links between the documents: every relative link leads to a file of the project, and to a
//! heading that is there.

use std::collections::BTreeMap;

use super::project::{Breach, Project};

/// Relative links in Markdown files that lead nowhere.
pub(crate) fn breaches(project: &Project) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (path, text) in project.texts().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in links(text) {
            if let Some(says) = broken(project, path, &target) {
                breaches.push(Breach::new(path, line, says));
            }
        }
    }
    breaches
}

/// Why a link from the file `from` leads nowhere; `None` if it is fine, or not ours to check.
fn broken(project: &Project, from: &str, target: &str) -> Option<String> {
    let elsewhere = ["http://", "https://", "mailto:", "ws://", "wss://"];
    if elsewhere.iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(from, &file.replace("%20", " ")) else {
        return Some(format!("`{target}` leads out of the project"));
    };
    if !project.holds(&path) {
        return Some(format!("`{target}`: there is no {path}"));
    }
    let text = project.file(&path).filter(|_| path.ends_with(".md"))?;
    let missing = !anchor.is_empty() && !anchors(text).contains(&anchor.to_lowercase());
    missing.then(|| format!("`{target}`: {path} has no heading for #{anchor}"))
}

/// The path a relative link means, seen from the file it is in.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let folder = match from.rsplit_once('/') {
        Some((folder, _)) if !link.starts_with('/') => folder,
        Some(_) | None => "",
    };
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The targets of a document's links, each with its line; none from code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, prose) in prose_lines(text) {
        let prose = without_code_spans(prose);
        for (at, _) in prose.match_indices("](") {
            links.extend(inline_target(&prose[at + 2..]).map(|target| (line, target)));
        }
        if let Some((label, target)) = prose.trim_start().split_once("]: ")
            && let Some(label) = label.strip_prefix('[')
            && !label.starts_with('^')
            && !label.contains(']')
        {
            links.extend(inline_target(&format!("{target})")).map(|target| (line, target)));
        }
    }
    links
}

/// The target at the start of `rest`, up to its closing bracket or its title.
fn inline_target(rest: &str) -> Option<String> {
    let rest = rest.trim_start();
    if let Some(quoted) = rest.strip_prefix('<') {
        return quoted.split_once('>').map(|(target, _)| target.to_owned());
    }
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ')' | ' ' => return (at > 0).then(|| rest[..at].to_owned()),
            _ => {}
        }
    }
    None
}

/// The lines outside fenced code, numbered from 1.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, None) => return Some((number, line)),
            (None, Some(_)) => fence = mark,
            (Some(_), _) if fence == mark => fence = None,
            (Some(_), _) => {}
        }
        None
    })
}

/// A line without what is between backticks. An odd backtick opens nothing.
fn without_code_spans(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let closed = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let kept = parts.iter().enumerate().filter(|(index, _)| index % 2 == 0 || *index >= closed);
    kept.map(|(_, part)| *part).collect()
}

/// The anchors of a document's headings, made as the usual hosts make them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for (_, line) in prose_lines(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug = slug(title.trim());
        let count = seen.entry(slug.clone()).or_default();
        anchors.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

/// A heading in lower case, spaces as hyphens, without punctuation and link targets.
fn slug(title: &str) -> String {
    let mut visible = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        visible.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    visible.push_str(rest);
    let kept = visible.to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
const GUIDE: &str = "# The guide\n\n## Acks, nacks & `retry`\n\n## Twice\n\n## Twice\n\n\
                     ## [Linked](guide.md) title\n";

#[test]
fn links_that_lead_nowhere_are_found() {
    let bad = [
        "[a](missing.md)",
        "see [a](b) and [c](../guide.md#no-such-heading)",
        "[a](../../outside.md)",
        "[a](#nowhere)",
        "[a]: missing.md",
        "[a](<missing file.md>)",
        "![picture](missing.png \"title\")",
    ];
    for line in bad {
        let text = format!("fine\n{line}\n");
        let project = Project::of(&[("guide.md", GUIDE), ("docs/a.md", &text), ("docs/b", "")]);
        let found = breaches(&project);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("docs/a.md", 2), "{line}");
    }
}

#[test]
fn links_that_lead_somewhere_are_fine() {
    let text = "\
# Title
[a](../guide.md) [b](../guide.md#acks-nacks--retry) [c](#title) [d](../docs) [e](../docs/)
[f](../guide.md#twice-1) [g](../guide.md#linked-title) [h](b(1).txt) [i](https://a.example/x)
[j](/guide.md) `[code](missing.md)` [k](b(1).txt \"a title\") [^1]: a footnote
```
[code](missing.md)
```
[l]: ../guide.md
";
    let project = Project::of(&[("guide.md", GUIDE), ("docs/a.md", text), ("docs/b(1).txt", "")]);
    assert_eq!(breaches(&project), []);
}

#[test]
fn headings_in_code_are_no_headings() {
    assert_eq!(anchors("```\n# a comment\n```\n#no-space\n# Yes\n"), ["yes"]);
}
