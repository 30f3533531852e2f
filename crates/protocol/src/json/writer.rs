//! Writing JSON objects straight into a buffer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidings_core::{Data, DataKind, Headers};

/// An object that is being written. Names are ours and need no escapes; values are escaped.
#[derive(Debug)]
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Writes one whole object.
    pub(crate) fn write(out: &'a mut Vec<u8>, fields: impl FnOnce(&mut ObjectWriter<'_>)) {
        out.push(b'{');
        fields(&mut ObjectWriter { out, is_empty: true });
        out.push(b'}');
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_text(self.out, text);
    }

    /// A text of ours that needs no escapes.
    pub(crate) fn plain(&mut self, name: &str, text: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    pub(crate) fn optional_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(crate) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        write_number(self.out, number);
    }

    pub(crate) fn optional_number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    pub(crate) fn numbers(&mut self, name: &str, numbers: impl Iterator<Item = u64>) {
        self.array(name, numbers, write_number);
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    pub(crate) fn object(&mut self, name: &str, fields: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.name(name);
        ObjectWriter::write(self.out, fields);
    }

    pub(crate) fn array<T>(
        &mut self,
        name: &str,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) {
        self.name(name);
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write(self.out, item);
        }
        self.out.push(b']');
    }

    /// `data` as it is, or `data_base64`.
    pub(crate) fn data(&mut self, data: &Data) {
        match data.kind() {
            DataKind::Json => {
                self.name("data");
                self.out.extend_from_slice(data.bytes());
            }
            DataKind::Binary => {
                self.name("data_base64");
                write_base64(self.out, data.bytes());
            }
        }
    }

    /// `headers`, if there are any.
    pub(crate) fn headers(&mut self, headers: &Headers) {
        if !headers.is_empty() {
            self.object("headers", |object| {
                for (name, value) in headers {
                    object.escaped_name(name);
                    write_text(object.out, value);
                }
            });
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// For names that are not ours.
    fn escaped_name(&mut self, name: &str) {
        self.comma();
        write_text(self.out, name);
        self.out.push(b':');
    }

    fn comma(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes any bytes");
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("a Vec takes any bytes");
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    let encoded_len =
        base64::encoded_len(bytes.len(), true).expect("data is shorter than a quarter of memory");
    out.resize(start + encoded_len, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("the room was measured");
    out.push(b'"');
}
