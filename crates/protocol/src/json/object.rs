//! Reading JSON objects with a known set of fields, without a tree in between: values stay the
//! text they are until their field's rule reads them.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use tidings_core::Headers;

use crate::error_code::ErrorCode;
use crate::field::{Field, shown, suggestion};
use crate::frame::ErrorBody;
use crate::json::text::JsonText;
use crate::rules;

/// What happens to fields that are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They are errors: a server must not ignore what a client asks for.
    Strict,
    /// They are skipped, and `null` is as good as absent: a client understands newer servers.
    Tolerant,
}

/// Fields with their names: most objects have no more than have their place here.
type Values<'a> = SmallVec<[(&'static str, JsonText<'a>); 4]>;

/// The known fields of an object as they were met. Holds at most one value for each.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    values: Values<'a>,
    unknown: Option<Cow<'a, str>>,
    duplicate: Option<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads the object `text`. `known` gives the name of a field back if it is known. What was
    /// read before an error stays.
    pub(super) fn read(
        &mut self,
        text: &'a str,
        known: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        FieldsSeed { fields: self, known }.deserialize(&mut deserializer)?;
        deserializer.end()
    }

    /// The same of a value that is known to be JSON. `false` if it is no object.
    fn read_checked(
        &mut self,
        value: JsonText<'a>,
        known: impl Fn(&str) -> Option<&'static str>,
    ) -> bool {
        let Some(members) = value.members() else { return false };
        for (name, value) in members {
            let Some(text) = string(name) else { return false };
            match known(&text) {
                Some(name) => self.add(name, value),
                None => _ = self.unknown.get_or_insert(text),
            }
        }
        true
    }

    fn add(&mut self, name: &'static str, value: JsonText<'a>) {
        if self.values.iter().any(|(known, _)| *known == name) {
            self.duplicate.get_or_insert(name);
        } else {
            self.values.push((name, value));
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<JsonText<'a>> {
        let at = self.values.iter().position(|(known, _)| *known == name)?;
        Some(self.values.swap_remove(at).1)
    }

    /// The first name that is not known.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// The first known name that stands there twice.
    pub(super) fn duplicate(&self) -> Option<&'static str> {
        self.duplicate
    }
}

struct FieldsSeed<'f, 'a, K> {
    fields: &'f mut Fields<'a>,
    known: K,
}

impl<'de, K: Fn(&str) -> Option<&'static str>> DeserializeSeed<'de> for FieldsSeed<'_, 'de, K> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, K: Fn(&str) -> Option<&'static str>> Visitor<'de> for FieldsSeed<'_, 'de, K> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            let Some(name) = (self.known)(&key) else {
                map.next_value::<IgnoredAny>()?;
                self.fields.unknown.get_or_insert(key);
                continue;
            };
            let value: &'de RawValue = map.next_value()?;
            self.fields.add(name, value.into());
        }
        Ok(())
    }
}

/// A string that borrows from the input where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The string that a value is, if it is one and of Unicode text.
fn string(value: JsonText<'_>) -> Option<Cow<'_, str>> {
    match value.plain_string() {
        Some(text) => Some(Cow::Borrowed(text)),
        None => serde_json::from_str(value.get()).ok().map(|Text(text)| text),
    }
}

/// The error of a text that is not one JSON object. Messages of the parser are shown for syntax
/// only: others quote the input, which may hold a secret.
pub(super) fn not_an_object(what: &str, error: &serde_json::Error) -> ErrorBody {
    let message = match error.classify() {
        Category::Data => format!("{what} must be a JSON object"),
        Category::Syntax | Category::Eof | Category::Io => {
            format!("{what} is not valid JSON: {error}")
        }
    };
    ErrorBody::new(ErrorCode::BadFrame, message)
}

/// An object whose fields are all known.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    path: &'a str,
    fields: Values<'a>,
    reading: Reading,
}

impl<'a> Object<'a> {
    /// Reads the JSON text of a whole body, called `what` in errors of syntax.
    pub(crate) fn parse(
        what: &str,
        text: &'a str,
        known: &'static [&'static str],
        reading: Reading,
    ) -> Result<Self, ErrorBody> {
        let mut fields = Fields::default();
        fields
            .read(text, |key| known.iter().copied().find(|name| *name == key))
            .map_err(|error| not_an_object(what, &error))?;
        Self::from_fields("", fields, known, reading)
    }

    fn from_fields(
        path: &'a str,
        fields: Fields<'a>,
        known: &'static [&'static str],
        reading: Reading,
    ) -> Result<Self, ErrorBody> {
        if let Some(name) = fields.duplicate {
            return Err(Field::new(path, name).bad("is there twice"));
        }
        if let (Some(name), Reading::Strict) = (&fields.unknown, reading) {
            let short = shown(name);
            return Err(ErrorBody::new(
                ErrorCode::UnknownField,
                format!(
                    "unknown field {}; {}",
                    Field::new(path, &short),
                    suggestion(name, known.iter().copied())
                ),
            ));
        }
        Ok(Self { path, fields: fields.values, reading })
    }

    /// The place of the field `name`, for errors.
    pub(crate) fn at<'n>(&self, name: &'n str) -> Field<'n>
    where
        'a: 'n,
    {
        Field::new(self.path, name)
    }

    /// The field `name` if it is there. Tolerant reading takes `null` for absent.
    pub(crate) fn optional(&self, name: &'static str) -> Option<Value<'a>> {
        self.any(name)
            .filter(|value| value.reading == Reading::Strict || value.text.get() != "null")
    }

    /// The field `name`, also if it is `null`: for data, of which null is a value.
    pub(crate) fn any(&self, name: &'static str) -> Option<Value<'a>> {
        let (_, text) = self.fields.iter().find(|(known, _)| *known == name)?;
        Some(Value::new(self.at(name), *text, self.reading))
    }

    /// The field `name`, which has to be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<Value<'a>, ErrorBody> {
        self.optional(name).ok_or_else(|| self.at(name).missing())
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<Cow<'a, str>, ErrorBody> {
        self.required(name)?.text()
    }

    pub(crate) fn optional_text(
        &self,
        name: &'static str,
    ) -> Result<Option<Cow<'a, str>>, ErrorBody> {
        self.optional(name).map(Value::text).transpose()
    }

    pub(crate) fn number(&self, name: &'static str) -> Result<u64, ErrorBody> {
        self.required(name)?.number(rules::ANY)
    }

    pub(crate) fn optional_number(&self, name: &'static str) -> Result<Option<u64>, ErrorBody> {
        self.optional(name).map(|value| value.number(rules::ANY)).transpose()
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, ErrorBody> {
        self.optional_flag(name)?.ok_or_else(|| self.at(name).missing())
    }

    pub(crate) fn optional_flag(&self, name: &'static str) -> Result<Option<bool>, ErrorBody> {
        let flag = |value: Value<'a>| {
            serde_json::from_str(value.text.get())
                .map_err(|_| value.at.bad("must be true or false"))
        };
        self.optional(name).map(flag).transpose()
    }
}

/// The value of a field, not yet read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    at: Field<'a>,
    text: JsonText<'a>,
    reading: Reading,
}

impl<'a> Value<'a> {
    pub(crate) const fn new(at: Field<'a>, text: JsonText<'a>, reading: Reading) -> Self {
        Self { at, text, reading }
    }

    /// Where it stands, for errors.
    pub(crate) const fn at(self) -> Field<'a> {
        self.at
    }

    /// Its text as it stands there.
    pub(crate) const fn json(self) -> JsonText<'a> {
        self.text
    }

    /// The object it is; `path` is what its fields' names start with.
    pub(crate) fn object(
        self,
        path: &'a str,
        known: &'static [&'static str],
    ) -> Result<Object<'a>, ErrorBody> {
        let mut fields = Fields::default();
        if !fields.read_checked(self.text, |key| known.iter().copied().find(|name| *name == key)) {
            return Err(self.at.bad("must be an object"));
        }
        Object::from_fields(path, fields, known, self.reading)
    }

    pub(crate) fn text(self) -> Result<Cow<'a, str>, ErrorBody> {
        string(self.text).ok_or_else(|| self.at.bad("must be a string of Unicode text"))
    }

    pub(crate) fn number(self, range: RangeInclusive<u64>) -> Result<u64, ErrorBody> {
        let number = self.text.get().parse().map_err(|_| rules::not_in(self.at, &range))?;
        rules::number(self.at, number, range)
    }

    pub(crate) fn numbers(self) -> Result<Vec<u64>, ErrorBody> {
        serde_json::from_str(self.text.get())
            .map_err(|_| self.at.bad("must be an array of whole numbers"))
    }

    /// The values of an array of at most `count_max`.
    pub(crate) fn array(self, count_max: usize) -> Result<Vec<JsonText<'a>>, ErrorBody> {
        let values: Vec<&RawValue> =
            serde_json::from_str(self.text.get()).map_err(|_| self.at.bad("must be an array"))?;
        if values.len() > count_max {
            let count = values.len();
            return Err(self
                .at
                .bad(format_args!("has at most {count_max} entries, this has {count}")));
        }
        Ok(values.into_iter().map(JsonText::from).collect())
    }

    /// An object of strings.
    pub(crate) fn headers(self) -> Result<Headers, ErrorBody> {
        let mut headers = Headers::new();
        let mut deserializer = serde_json::Deserializer::from_str(self.text.get());
        let twice = HeadersSeed(&mut headers)
            .deserialize(&mut deserializer)
            .map_err(|_| self.at.bad("must be an object of strings"))?;
        match (twice, self.reading) {
            (Some(name), Reading::Strict) => {
                Err(self.at.bad(format_args!("has `{}` twice", shown(&name))))
            }
            (None, Reading::Strict) => rules::headers(self.at, headers),
            // The server adds headers of its own, to dead letters.
            (_, Reading::Tolerant) => Ok(headers),
        }
    }
}

struct HeadersSeed<'f>(&'f mut Headers);

impl<'de> DeserializeSeed<'de> for HeadersSeed<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeadersSeed<'_> {
    /// A name that stands there twice.
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut twice = None;
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            match self.0.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(entry) => twice = Some(entry.key().clone()),
            }
        }
        Ok(twice)
    }
}
