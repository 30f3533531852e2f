//! Just enough of Rust's grammar to look at code without being fooled by comments and literals.

/// A function and how long its body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its name, from 1.
    pub(crate) line: usize,
    /// Lines of its body with code on them: no comments, no blank lines.
    pub(crate) code_lines: usize,
}

/// The functions of a Rust file that have a body, also those inside others.
pub(crate) fn functions(text: &str) -> Vec<Function> {
    let code = code_only(text);
    let words = words(&code);
    let named = words.windows(2).filter(|pair| {
        let between = &code[pair[0].0 + pair[0].1.len()..pair[1].0];
        pair[0].1 == "fn" && between.trim().is_empty()
    });
    named
        .filter_map(|pair| {
            let (at, name) = pair[1];
            let body = body(&code[at..])?;
            Some(Function {
                name: name.to_owned(),
                line: line_at(&code, at),
                code_lines: body.lines().filter(|line| !line.trim().is_empty()).count(),
            })
        })
        .collect()
}

/// The line of a byte, from 1.
pub(crate) fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The words (identifiers, keywords, numbers) of code, each with the byte it starts at.
pub(crate) fn words(code: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        match (start, is_word(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                words.push((from, &code[from..at]));
                start = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    words
}

/// What is between the braces after a function's name; `None` for one without a body.
fn body(code: &str) -> Option<&str> {
    let mut brackets = 0_usize;
    let mut signature_end = code.char_indices();
    let open = loop {
        match signature_end.next()? {
            (_, '(' | '[') => brackets += 1,
            (_, ')' | ']') => brackets = brackets.saturating_sub(1),
            (_, ';') if brackets == 0 => return None,
            (at, '{') if brackets == 0 => break at + 1,
            _ => {}
        }
    };
    let mut braces = 1_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => {}
        }
        if braces == 0 {
            return Some(&code[open..open + at]);
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The same text with comments blanked and the insides of literals replaced by `"`, so that
/// words and braces are found only where they are code. Lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let mut mask =
        Mask { chars: text.chars().collect(), at: 0, code: String::with_capacity(text.len()) };
    while let Some(c) = mask.peek(0) {
        match c {
            '/' if mask.peek(1) == Some('/') => mask.line_comment(),
            '/' if mask.peek(1) == Some('*') => mask.block_comment(),
            '"' => mask.string(),
            '\'' => mask.char_or_lifetime(),
            c if is_word(c) => mask.word(),
            _ => mask.keep(),
        }
    }
    mask.code
}

/// Walks through a text and writes down only its code.
struct Mask {
    chars: Vec<char>,
    at: usize,
    code: String,
}

impl Mask {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Takes a character as it is.
    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at += 1;
    }

    /// Takes a character as `instead`, unless it ends a line.
    fn replace(&mut self, instead: char) {
        if let Some(c) = self.peek(0) {
            self.code.push(if c == '\n' { c } else { instead });
        }
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.replace(' ');
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.replace(' ');
                    continue;
                }
            }
            self.replace(' ');
            self.replace(' ');
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(c) = self.peek(0) {
            self.replace('"');
            match c {
                '\\' => self.replace('"'),
                '"' => return,
                _ => {}
            }
        }
    }

    /// A literal such as `'{'`, or only the tick of a lifetime.
    fn char_or_lifetime(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.keep();
        }
        self.replace('"');
        self.replace('"');
        if escaped {
            self.replace('"');
        }
        while self.peek(0).is_some_and(|c| c != '\'') {
            self.replace('"');
        }
        self.replace('"');
    }

    /// A word, and the raw string that it may begin.
    fn word(&mut self) {
        let from = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.keep();
        }
        let word: String = self.chars[from..self.at].iter().collect();
        let hashes = self.chars[self.at..].iter().take_while(|c| **c == '#').count();
        if matches!(word.as_str(), "r" | "br" | "cr") && self.peek(hashes) == Some('"') {
            self.raw_string(hashes);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        for _ in 0..=hashes {
            self.replace('"');
        }
        while let Some(c) = self.peek(0) {
            self.replace('"');
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                for _ in 0..hashes {
                    self.replace('"');
                }
                return;
            }
        }
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    let hides = [
        "// fn x() {",
        "/* fn x() { /* nested { */ { */",
        "let a = \"fn x() { \\\" {\";",
        "let a = r#\"fn x() { \" {\"#;",
        "let a = br\"fn {\\\";",
        "let a = '{';",
        "let a = '\\'';  // {",
        "let a = b'\\\\'; // {",
        "let a = '\\u{1F600}';",
    ];
    for text in hides {
        let code = code_only(text);
        assert!(!code.contains('{') && !code.contains("fn"), "{text} -> {code}");
        assert_eq!(code.chars().count(), text.chars().count(), "{text} -> {code}");
    }
}

#[test]
fn code_stays_code() {
    for text in ["fn f<'a>(x: &'a str) -> Foo<'a> { r#try() }", "match c { 1 => a / b, _ => {} }"] {
        assert_eq!(code_only(text), text);
    }
}

#[test]
fn code_lines_of_a_body_are_counted() {
    let text = "\
//! fn not_me() { }
fn one() { 1 }

pub(crate) async fn three<const N: usize>(a: [u8; N], f: fn(u8) -> u8) -> u8
where
    u8: Copy,
{
    // A comment.
    let b = \"two
lines {\";

    /* another */
    f(a[0])
}
trait T { fn no_body(&self); fn empty(&self) {} }
";
    let found = functions(text);
    let short: Vec<(&str, usize, usize)> =
        found.iter().map(|f| (f.name.as_str(), f.line, f.code_lines)).collect();
    assert_eq!(short, [("one", 2, 1), ("three", 4, 3), ("empty", 15, 0)]);
}

#[test]
fn functions_inside_functions_count_for_both() {
    let found = functions("fn outer() {\n    fn inner() {\n        1;\n    }\n}\n");
    let lengths: Vec<usize> = found.iter().map(|f| f.code_lines).collect();
    assert_eq!(lengths, [3, 1]);
}
