//! Why a server closes a connection, and what the client should do then.

/// What a client does after a close. Its code's range alone decides (DESIGN §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comeback {
    /// Not again: the same would happen (4000 to 4099).
    Final,
    /// At once (4200 to 4299).
    AtOnce,
    /// With backoff (4400 to 4499, and every standard code).
    WithBackoff,
}

/// The close codes the server uses (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client closed, and the server answers.
    Normal = 1000,
    /// A frame broke RFC 6455.
    ProtocolError = 1002,
    /// A message was binary where the subprotocol has text, or the other way round.
    UnsupportedData = 1003,
    /// A text frame was not UTF-8.
    InvalidData = 1007,
    /// A frame or message was larger than allowed.
    TooBig = 1009,
    /// The token is invalid, or was not given.
    Unauthenticated = 4000,
    /// A frame was not one of the protocol's.
    BadFrame = 4001,
    /// The client must not connect: an operator disconnected it.
    Forbidden = 4002,
    /// Another connection took the session over.
    TakenOver = 4003,
    /// The token has expired: come back with a fresh one.
    TokenExpired = 4200,
    /// The client did not send `connect` in time.
    HandshakeTimeout = 4400,
    /// The client did not answer a ping in time.
    PongTimeout = 4401,
    /// The server is going away.
    Draining = 4402,
    /// The server has no room.
    Overloaded = 4403,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::Normal,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidData,
        Self::TooBig,
        Self::Unauthenticated,
        Self::BadFrame,
        Self::Forbidden,
        Self::TakenOver,
        Self::TokenExpired,
        Self::HandshakeTimeout,
        Self::PongTimeout,
        Self::Draining,
        Self::Overloaded,
    ];

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ProtocolError => "protocol_error",
            Self::UnsupportedData => "unsupported_data",
            Self::InvalidData => "invalid_data",
            Self::TooBig => "too_big",
            Self::Unauthenticated => "unauthenticated",
            Self::BadFrame => "bad_frame",
            Self::Forbidden => "forbidden",
            Self::TakenOver => "taken_over",
            Self::TokenExpired => "token_expired",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::PongTimeout => "pong_timeout",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
        }
    }
}

impl Comeback {
    /// What a client does after a close with `code`, known or not.
    pub const fn after(code: u16) -> Self {
        match code {
            4000..=4099 => Self::Final,
            4200..=4299 => Self::AtOnce,
            _ => Self::WithBackoff,
        }
    }
}
