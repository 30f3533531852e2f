//! The bare 1:1: each publish goes on to the one connection that subscribed to its topic.

use std::collections::HashMap;

use crate::limit::frames::{self, Request};
use crate::limit::sockets::{Sockets, Work};
use crate::websocket::{self, Opcode};

/// Who hears from a publisher.
#[derive(Clone, Debug)]
struct Partner {
    connection: usize,
    /// With its quotes.
    topic: Vec<u8>,
    last_offset: u64,
}

/// The pairs. A publisher's partner is looked up when its topic changes, so as a rule once.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    subscribers: HashMap<Vec<u8>, usize>,
    /// By the publisher's connection.
    partners: Vec<Option<Partner>>,
    text: Vec<u8>,
    frame: Vec<u8>,
}

impl Pairs {
    fn send(&mut self, sockets: &mut Sockets, to: usize) {
        self.frame.clear();
        websocket::put_frame(&mut self.frame, Opcode::Text, &self.text);
        sockets.send(to, &self.frame);
    }

    fn find_partner(&mut self, publisher: usize, body: &[u8]) {
        if self.partners.len() <= publisher {
            self.partners.resize(publisher + 1, None);
        }
        let Some(topic) = frames::topic(body) else { return };
        let known = self.partners[publisher].as_ref().is_some_and(|it| it.topic == topic);
        if !known && let Some(connection) = self.subscribers.get(topic) {
            let topic = topic.to_vec();
            self.partners[publisher] =
                Some(Partner { connection: *connection, topic, last_offset: 0 });
        }
    }

    fn publish(&mut self, sockets: &mut Sockets, from: usize, id: u64, body: &[u8], data: &[u8]) {
        self.find_partner(from, body);
        let partner = self.partners[from].as_mut();
        let offset = partner.map_or(0, |partner| {
            partner.last_offset += 1;
            partner.last_offset
        });
        self.text.clear();
        frames::put_published(&mut self.text, id, offset);
        self.send(sockets, from);
        let Some(partner) = &self.partners[from] else { return };
        let to = partner.connection;
        self.text.clear();
        frames::put_message(&mut self.text, &partner.topic, offset, data);
        self.send(sockets, to);
    }
}

impl Work for Pairs {
    fn frame(&mut self, sockets: &mut Sockets, from: usize, text: &[u8]) -> anyhow::Result<()> {
        self.text.clear();
        match Request::read(text) {
            Some(Request::Connect { id, session }) => {
                frames::put_connected(&mut self.text, id, session);
                self.send(sockets, from);
            }
            Some(Request::Subscribe { id, body }) => {
                if let Some(topic) = frames::topic(body) {
                    self.subscribers.insert(topic.to_vec(), from);
                }
                frames::put_subscribed(&mut self.text, id, 0);
                self.send(sockets, from);
            }
            Some(Request::Unsubscribe { id, body }) => {
                if let Some(topic) = frames::subscription(body) {
                    self.subscribers.remove(topic);
                }
                frames::put_unsubscribed(&mut self.text, id);
                self.send(sockets, from);
            }
            Some(Request::Publish { id, body, data }) => {
                self.publish(sockets, from, id, body, data);
            }
            None => {}
        }
        Ok(())
    }

    fn turn_ends(&mut self, _: &mut Sockets) -> anyhow::Result<()> {
        Ok(())
    }

    fn closed(&mut self, key: usize) {
        self.subscribers.retain(|_, subscriber| *subscriber != key);
        if let Some(own) = self.partners.get_mut(key) {
            *own = None;
        }
        for partner in &mut self.partners {
            partner.take_if(|partner| partner.connection == key);
        }
    }
}
