//! `present` and `presence`: who is on a topic, in Protobuf.

use tidings_core::Timestamp;

use super::schema;
use crate::field::Field;
use crate::frame::{ErrorBody, Member, PresenceChange, Present};
use crate::rules;

pub(super) fn read_present(present: schema::Present) -> Result<Present, ErrorBody> {
    Ok(Present {
        topic: rules::topic(Field::new("present", "topic"), &present.topic)?,
        members: members("present.members", present.members)?,
        total: present.total,
    })
}

pub(super) fn read_change(change: schema::Presence) -> Result<PresenceChange, ErrorBody> {
    Ok(PresenceChange {
        topic: rules::topic(Field::new("presence", "topic"), &change.topic)?,
        joined: members("presence.joined", change.joined)?,
        left: members("presence.left", change.left)?,
        reset: change.reset,
    })
}

fn members(path: &str, members: Vec<schema::Member>) -> Result<Vec<Member>, ErrorBody> {
    let at = |name| Field::new(path, name);
    let member = |member: schema::Member| {
        Ok(Member {
            user: rules::id(at("user"), &member.user)?,
            client: rules::id(at("client"), &member.client)?,
            since: Timestamp::from_ms(member.since),
        })
    };
    members.into_iter().map(member).collect()
}

pub(super) fn present_to_schema(present: &Present) -> schema::Present {
    schema::Present {
        topic: present.topic.to_string(),
        members: members_to_schema(&present.members),
        total: present.total,
    }
}

pub(super) fn change_to_schema(change: &PresenceChange) -> schema::Presence {
    schema::Presence {
        topic: change.topic.to_string(),
        joined: members_to_schema(&change.joined),
        left: members_to_schema(&change.left),
        reset: change.reset,
    }
}

fn members_to_schema(members: &[Member]) -> Vec<schema::Member> {
    let member = |member: &Member| schema::Member {
        user: member.user.to_string(),
        client: member.client.to_string(),
        since: member.since.as_ms(),
    };
    members.iter().map(member).collect()
}
