//! Which compression a client and the server agree on (RFC 7692 §5 and §7.1).

use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};

use super::deflate::WINDOW_BITS;

/// The smallest window that the RFC knows, as a power of two. The largest is [`WINDOW_BITS`], which
/// also counts where none is named.
const WINDOW_BITS_MIN: u8 = 8;

/// An answer to an offer, which ends with what it says of the window.
macro_rules! answer {
    ($window:literal) => {
        concat!(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            $window
        )
    };
}

/// What was agreed with a client that may be sent compressed messages, and may send them.
///
/// Neither side keeps anything from one message to the next: the client is always told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The client bounds the server's window to this power of two: the answer has to name it.
    window_bits: Option<u8>,
}

impl Agreement {
    /// The value for `Sec-WebSocket-Extensions` in the answer.
    pub const fn header(self) -> &'static str {
        match self.window_bits {
            Some(8) => answer!("; server_max_window_bits=8"),
            Some(9) => answer!("; server_max_window_bits=9"),
            Some(10) => answer!("; server_max_window_bits=10"),
            Some(11) => answer!("; server_max_window_bits=11"),
            Some(12) => answer!("; server_max_window_bits=12"),
            Some(13) => answer!("; server_max_window_bits=13"),
            Some(14) => answer!("; server_max_window_bits=14"),
            Some(_) => answer!("; server_max_window_bits=15"),
            None => answer!(""),
        }
    }

    /// Whether the one compressed message for all may be sent to this client, by the length it had
    /// before. It refers back within the largest window, but never to before its own start: so a
    /// message no longer than a window refers back no further than that window.
    pub const fn may_deflate(self, message_bytes: usize) -> bool {
        match self.window_bits {
            Some(WINDOW_BITS) | None => true,
            Some(bits) => message_bytes <= 1 << bits,
        }
    }
}

/// The first offer of an upgrade request that can be met; `None` if there is none, and messages
/// are not compressed.
pub fn agree(headers: &HeaderMap) -> Option<Agreement> {
    let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    // A quoted value with a comma in it is none that the offers below may have: whatever it is cut
    // into is declined.
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).find_map(meet)
}

/// Every parameter must be known, in its form, and there once; else the offer is declined (§7.1).
fn meet(offer: &str) -> Option<Agreement> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut window = None;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            // That the client can bound its own window; any is small enough.
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) => drop(window_bits(bits)?),
            ("server_max_window_bits", Some(bits)) => {
                window = Some(window_bits(bits)?);
            }
            _unknown => return None,
        }
    }
    Some(Agreement { window_bits: window })
}

/// A number without leading zeros, within what the RFC allows.
fn window_bits(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let bits = plain.then(|| text.parse().ok())??;
    (WINDOW_BITS_MIN..=WINDOW_BITS).contains(&bits).then_some(bits)
}

/// A value may stand in quotes (RFC 6455 §9.1).
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(offers: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, offer.parse().unwrap());
        }
        agree(&headers).map(Agreement::header)
    }

    const PLAIN: Option<&str> =
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover");

    #[test]
    fn meets_what_browsers_and_libraries_offer() {
        for offer in [
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
            "Permessage-Deflate ; client_max_window_bits = 10",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits=\"15\"",
            "x-webkit-deflate-frame, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]), PLAIN, "{offer}");
        }
    }

    #[test]
    fn names_its_window_to_who_bounds_it() {
        for bits in WINDOW_BITS_MIN..=WINDOW_BITS {
            let name = format!("; server_max_window_bits={bits}");
            let offer = format!("permessage-deflate{name}");
            let expected = format!("{}{name}", PLAIN.unwrap());
            assert_eq!(answer(&[&offer]), Some(&*expected));
        }
    }

    #[test]
    fn a_bounded_window_takes_what_fits_into_it() {
        for (window_bits, longest) in [(8, 256), (9, 512), (14, 16_384)] {
            let agreement = Agreement { window_bits: Some(window_bits) };
            assert!(agreement.may_deflate(longest));
            assert!(!agreement.may_deflate(longest + 1));
        }
        for window_bits in [None, Some(WINDOW_BITS)] {
            assert!(Agreement { window_bits }.may_deflate(usize::MAX));
        }
    }

    #[test]
    fn declines_what_it_cannot_meet_and_takes_the_next() {
        let declined = [
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=015",
            "permessage-deflate; server_max_window_bits=+15",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; future",
            "permessage-deflate;",
            "permessage-bzip2",
            "",
        ];
        for offer in declined {
            assert_eq!(answer(&[offer]), None, "{offer}");
            let with_another = format!("{offer}, permessage-deflate");
            assert_eq!(answer(&[&with_another]), PLAIN, "{with_another}");
            assert_eq!(answer(&[offer, "permessage-deflate"]), PLAIN, "{offer} in its own header");
        }
        assert_eq!(answer(&[]), None);
    }
}
