//! The one table of error codes: word, HTTP status, whether trying again can help.

macro_rules! error_codes {
    ($( $(#[doc = $meaning:literal])* $variant:ident = $word:literal, $status:literal, $temporary:literal; )*) => {
        /// What went wrong, as a stable word. New codes may be added; a client that does not know
        /// one goes by `temporary`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $( $(#[doc = $meaning])* $variant, )*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// What it means, in a sentence: the text of its documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => concat!($( $meaning ),*).trim_ascii(), )* }
            }

            /// The HTTP status that goes with it.
            pub const fn http_status(self) -> u16 {
                match self { $( Self::$variant => $status, )* }
            }

            /// Whether the same request may succeed later.
            pub const fn is_temporary(self) -> bool {
                match self { $( Self::$variant => $temporary, )* }
            }
        }
    };
}

error_codes! {
    /// The bytes are no frame or body of the protocol.
    BadFrame = "bad_frame", 400, false;
    /// The frame is of a kind this server does not know.
    UnknownFrame = "unknown_frame", 400, false;
    /// The frame or body has a field this server does not know.
    UnknownField = "unknown_field", 400, false;
    /// A field has a value that is not allowed.
    BadField = "bad_field", 400, false;
    /// The topic breaks a rule.
    BadTopic = "bad_topic", 400, false;
    /// The filter breaks a rule.
    BadFilter = "bad_filter", 400, false;
    /// A frame that needs a session came before `connect`.
    NotConnected = "not_connected", 400, false;
    /// A second `connect`.
    AlreadyConnected = "already_connected", 409, false;
    /// The token or key is missing, malformed, forged, or of an algorithm that is not allowed.
    Unauthenticated = "unauthenticated", 401, false;
    /// The token has expired, or is not valid yet.
    TokenExpired = "token_expired", 401, false;
    /// The token was revoked before its time.
    TokenRevoked = "token_revoked", 401, false;
    /// The token does not allow this here.
    PermissionDenied = "permission_denied", 403, false;
    /// The page's origin is not on the list.
    OriginDenied = "origin_denied", 403, false;
    /// The session is another user's.
    SessionDenied = "session_denied", 403, false;
    /// There is no such thing at this address.
    NotFound = "not_found", 404, false;
    /// The address does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, false;
    /// No such subscription on this connection.
    NotSubscribed = "not_subscribed", 409, false;
    /// There is one for this topic or filter on this connection already.
    AlreadySubscribed = "already_subscribed", 409, false;
    /// The scheduled message is being published, so it cannot be cancelled any more.
    AlreadyDue = "already_due", 409, false;
    /// The key was used for a scheduled message that is no longer on the schedule.
    KeyUsed = "key_used", 409, false;
    /// The position is of another life of the log.
    EpochChanged = "epoch_changed", 410, false;
    /// The position lies after the last message.
    OffsetAhead = "offset_ahead", 416, false;
    /// The position's next message was trimmed by retention.
    Trimmed = "trimmed", 410, false;
    /// The message or frame is larger than allowed.
    TooLarge = "too_large", 413, false;
    /// The body is of a type that is not understood.
    UnsupportedMediaType = "unsupported_media_type", 415, false;
    /// The server does not offer this yet, or not for this kind of topic.
    Unsupported = "unsupported", 501, false;
    /// More subscriptions, unanswered publishes, streams or waiting requests than there may be.
    LimitReached = "limit_reached", 429, true;
    /// The server has more to do than it can queue.
    Overloaded = "overloaded", 503, true;
    /// The server is going away.
    Draining = "draining", 503, true;
    /// No space for the log.
    StorageFull = "storage_full", 507, true;
    /// The store has stopped writing.
    StorageUnavailable = "storage_unavailable", 503, false;
    /// A fault of the server.
    Internal = "internal", 500, true;
}

impl ErrorCode {
    /// The code with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}
