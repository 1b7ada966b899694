//! Why a session ended, and what that means for its connection.

use crate::frame::FrameError;
use crate::host::{EndReason, Unavailable};
use crate::protocol::{Protocol, USE_ANOTHER_SERVER, Violation, disconnect_code};
use crate::transport::{Event, Transport};

/// Why a session ended, and what is left to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    /// The reason code of the v5 DISCONNECT, if one is sent.
    pub(crate) code: Option<u8>,
    /// The client's DISCONNECT discards its will.
    pub(crate) without_will: bool,
    /// The session expiry that the client's DISCONNECT sets.
    pub(crate) session_expiry_s: Option<u32>,
}

impl Ending {
    /// Whether an event ends the session.
    ///
    /// # Errors
    /// The ending, if it does.
    pub(crate) fn check(event: Event) -> Result<(), Self> {
        match event {
            Event::Received | Event::Written => Ok(()),
            Event::Lost => Err(EndReason::ConnectionLost.into()),
            Event::Silent => Err(EndReason::KeepAliveTimeout.into()),
            Event::Stalled => Err(EndReason::WriteStalled.into()),
        }
    }

    /// The connection with the last packet in its output, which names the server to use instead, if there is one. `None`:
    /// nothing can be written to it.
    pub(crate) fn write_disconnect<S>(
        self,
        protocol: Protocol,
        mut transport: Transport<S>,
        server_reference: Option<&str>,
    ) -> Option<Transport<S>> {
        if let EndReason::ConnectionLost | EndReason::WriteStalled = self.reason {
            return None;
        }
        let output = &mut transport.output;
        match (self.code, server_reference) {
            (Some(USE_ANOTHER_SERVER), Some(reference)) => {
                protocol.write_disconnect_to(output, USE_ANOTHER_SERVER, reference);
            }
            (Some(code), _) => protocol.write_disconnect(output, code),
            (None, _) => {}
        }
        Some(transport)
    }
}

impl From<EndReason> for Ending {
    fn from(reason: EndReason) -> Self {
        Self {
            reason,
            code: disconnect_code(reason),
            without_will: false,
            session_expiry_s: None,
        }
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self {
            code: Some(violation.code),
            ..EndReason::ProtocolError.into()
        }
    }
}

impl From<FrameError> for Ending {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge(_) => EndReason::PacketTooLarge.into(),
            FrameError::WrongType => EndReason::ProtocolError.into(),
            FrameError::WrongFlags | FrameError::MalformedLength => Self {
                code: Some(0x81),
                ..EndReason::ProtocolError.into()
            },
        }
    }
}

impl From<Unavailable> for Ending {
    fn from(_: Unavailable) -> Self {
        EndReason::Unavailable.into()
    }
}
