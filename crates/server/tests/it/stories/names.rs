//! Names for what differs from run to run.

use serde_json::Value;

/// Names and what they stand for.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: Vec<(String, String)>,
}

impl Names {
    pub(super) const fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Names a thing of this kind, if it has no name yet.
    pub(super) fn give(&mut self, kind: &str, thing: &str) {
        if thing.is_empty() || self.given.iter().any(|(_, known)| known == thing) {
            return;
        }
        let of_kind = self.given.iter().filter(|(name, _)| {
            name.strip_prefix('$')
                .and_then(|name| name.rsplit_once('-'))
                .is_some_and(|n| n.0 == kind)
        });
        let number = of_kind.count() + 1;
        self.given.push((format!("${kind}-{number}"), thing.to_owned()));
    }

    /// Names a thing as the story says.
    pub(super) fn call(&mut self, name: &str, thing: String) {
        self.given.retain(|(given, _)| given[1..] != *name);
        self.given.push((format!("${name}"), thing));
    }

    /// A line of the story with things in the place of names.
    pub(super) fn to_things(&self, line: &str) -> Result<String, String> {
        let mut line = line.to_owned();
        // `$message-1` is the beginning of `$message-10`.
        let mut by_length: Vec<_> = self.given.iter().collect();
        by_length.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, thing) in by_length {
            line = line.replace(name, thing);
        }
        // Topics of the server's own begin with `$` as well, and have no number.
        for (at, _) in line.match_indices('$') {
            let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
            let name: String = line[at + 1..].chars().take_while(is_word).collect();
            let number = name.rsplit_once('-').map_or("", |(_, number)| number);
            if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()) {
                return Err(format!("nothing is called `${name}`"));
            }
        }
        Ok(line)
    }

    /// What was seen, with names in the place of things.
    pub(super) fn named(&mut self, seen: &str) -> String {
        if let Some(json) = seen.find('{').and_then(|at| serde_json::from_str(&seen[at..]).ok()) {
            self.learn("", &json);
        }
        let mut seen = seen.to_owned();
        for (name, thing) in &self.given {
            seen = seen.replace(thing, name);
        }
        let seen = without(&without(&seen, "\"limits\":{", '}'), "\"request_id\":\"", '"');
        // Waits are random, so that not all come back together.
        let waits =
            seen.split("\"retry_after_ms\":").enumerate().map(|(index, part)| match index {
                0 => part.to_owned(),
                _ => format!("<wait>{}", part.trim_start_matches(|c: char| c.is_ascii_digit())),
            });
        times(&waits.collect::<Vec<_>>().join("\"retry_after_ms\":"))
    }

    fn learn(&mut self, key: &str, value: &Value) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| self.learn(key, value)),
            Value::Array(values) => values.iter().for_each(|value| self.learn(key, value)),
            Value::String(text) => match key {
                "session" => self.give("session", text),
                "epoch" | "tidings-epoch" => self.give("epoch", text),
                "id" | "tidings-id" => self.give("message", text),
                _ => {}
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Leaves out what stands between `begin` and `end`: the same for everybody, or nobody's business.
fn without(text: &str, begin: &str, end: char) -> String {
    let Some((before, rest)) = text.split_once(begin) else { return text.to_owned() };
    let Some((_, after)) = rest.split_once(end) else { return text.to_owned() };
    format!("{before}{begin}…{end}{}", without(after, begin, end))
}

/// Puts `<time>` where there are milliseconds since 1970: 13 digits.
fn times(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        match digits.len() {
            13 => out.push_str("<time>"),
            _ => out.push_str(&digits),
        }
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[test]
fn names_stand_for_what_differs() {
    let mut names = Names::default();
    let frame =
        r#"{"id":1,"message":{"id":"01JD","epoch":"Zr3","at":1795000000000,"data":"01JD"}}"#;
    let told = names.named(frame);
    let expected = r#"{"id":1,"message":{"id":"$message-1","epoch":"$epoch-1","at":<time>,"data":"$message-1"}}"#;
    assert_eq!(told, expected);
    assert_eq!(names.to_things("after=$epoch-1:7").as_deref(), Ok("after=Zr3:7"));
    assert_eq!(names.to_things("$dead-letters").as_deref(), Ok("$dead-letters"));
    assert!(names.to_things("$epoch-2").is_err());
    assert_eq!(names.named(r#"x {"limits":{"a":1},"b":12}"#), r#"x {"limits":{…},"b":12}"#);
}
