//! Errors as RFC 9457 problems.

use super::object;
use crate::frame::ErrorBody;
use crate::json::{self, ObjectWriter, Reading};
use crate::rules::duration_ms;

/// The media type of a problem.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// The body of every HTTP reply that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong. Gives `type`, `title`, `status`, `detail`, `code`, `temporary` and
    /// `retry_after_ms`.
    pub error: ErrorBody,
    /// The request's name in the server's logs.
    pub request_id: Option<String>,
}

impl Problem {
    /// Appends the problem as JSON. Its type is `urn:tidings:error:` and the code.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let code = self.error.code;
        ObjectWriter::write(out, |body| {
            body.text("type", &format!("urn:tidings:error:{}", code.as_str()));
            body.text("title", code.meaning());
            body.number("status", code.http_status().into());
            body.text("detail", &self.error.message);
            body.text("code", code.as_str());
            body.flag("temporary", code.is_temporary());
            body.optional_number("retry_after_ms", self.error.retry_after.map(duration_ms));
            body.optional_text("request_id", self.request_id.as_deref());
        });
    }

    /// Reads a problem. Of a code that is not known, `temporary` is kept, as in frames.
    pub fn decode(body: &[u8]) -> Result<Self, ErrorBody> {
        let object = object(body, FIELDS, Reading::Tolerant)?;
        let detail = object.text("detail")?;
        Ok(Self {
            error: json::read_told_error(&object, detail)?,
            request_id: object.optional_text("request_id")?.map(Into::into),
        })
    }
}

const FIELDS: &[&str] = &["detail", "code", "temporary", "retry_after_ms", "request_id"];
