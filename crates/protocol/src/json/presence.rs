//! `present` and `presence`: who is on a topic, in JSON.

use tidings_core::Timestamp;

use super::object::{Object, Reading, Value};
use super::writer::ObjectWriter;
use crate::frame::{ErrorBody, Member, PresenceChange, Present, ServerBody};
use crate::rules;

/// The fields of `present`.
pub(crate) const PRESENT_FIELDS: &[&str] = &["topic", "members", "total"];

pub(super) fn present(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    read_present(&body.object("present", PRESENT_FIELDS)?).map(ServerBody::Present)
}

/// Reads the body of `present`, which is also that of `GET /v1/presence`.
pub(crate) fn read_present(object: &Object<'_>) -> Result<Present, ErrorBody> {
    Ok(Present {
        topic: rules::topic(object.at("topic"), &object.text("topic")?)?,
        members: members(object.required("members")?, "present.members")?,
        total: object.number("total")?,
    })
}

pub(super) fn change(body: Value<'_>) -> Result<ServerBody, ErrorBody> {
    let object = body.object("presence", &["topic", "joined", "left", "reset"])?;
    let list = |name, path| {
        object.optional(name).map_or_else(|| Ok(Vec::new()), |list| members(list, path))
    };
    Ok(ServerBody::Presence(PresenceChange {
        topic: rules::topic(object.at("topic"), &object.text("topic")?)?,
        joined: list("joined", "presence.joined")?,
        left: list("left", "presence.left")?,
        reset: object.optional_flag("reset")?.unwrap_or(false),
    }))
}

fn members(list: Value<'_>, path: &'static str) -> Result<Vec<Member>, ErrorBody> {
    let members = list.array(usize::MAX)?.into_iter().map(|raw| {
        let value = Value::new(list.at(), raw, Reading::Tolerant);
        member(&value.object(path, &["user", "client", "since"])?)
    });
    members.collect()
}

fn member(object: &Object<'_>) -> Result<Member, ErrorBody> {
    Ok(Member {
        user: rules::id(object.at("user"), &object.text("user")?)?,
        client: rules::id(object.at("client"), &object.text("client")?)?,
        since: Timestamp::from_ms(object.number("since")?),
    })
}

/// Writes it.
pub(crate) fn write_present(present: &Present, out: &mut ObjectWriter<'_>) {
    out.text("topic", present.topic.as_str());
    write_members("members", &present.members, out);
    out.number("total", present.total);
}

pub(super) fn write_change(change: &PresenceChange, out: &mut ObjectWriter<'_>) {
    out.text("topic", change.topic.as_str());
    write_members("joined", &change.joined, out);
    write_members("left", &change.left, out);
    if change.reset {
        out.flag("reset", true);
    }
}

fn write_members(name: &str, members: &[Member], out: &mut ObjectWriter<'_>) {
    out.array(name, members.iter(), |out, member| {
        ObjectWriter::write(out, |object| {
            object.text("user", member.user.as_str());
            object.text("client", member.client.as_str());
            object.number("since", member.since.as_ms());
        });
    });
}
