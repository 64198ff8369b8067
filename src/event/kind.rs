//! The five kinds of events that the API knows.

use std::fmt;

/// What the user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The user registered.
    Register,
    /// The user signed in.
    Signin,
    /// The user consumed audio content.
    Audio,
    /// The user consumed video content.
    Video,
    /// The user consumed content other than audio or video.
    Content,
}

impl EventKind {
    /// Every kind, in the order of the API's documentation.
    pub const ALL: [Self; 5] = [
        Self::Register,
        Self::Signin,
        Self::Audio,
        Self::Video,
        Self::Content,
    ];

    /// The name of the kind in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Signin => "signin",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Content => "content",
        }
    }

    /// The kind with this [`name`](Self::name), in lower case as the API writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_bytes(name.as_bytes())
    }

    /// [`from_name`](Self::from_name) of bytes that nothing has checked to be UTF-8.
    pub(super) fn from_bytes(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
