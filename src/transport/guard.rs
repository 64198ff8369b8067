//! The outermost layer of a connection: what ureq would take for usual, and is not.
//!
//! - A TLS connection that ends without a `close_notify` was cut, perhaps by an attacker. ureq would take
//!   that for the regular end of an answer without a length.
//! - An answer may go on for ever in what comes before its head and behind its body: 1xx answers, trailers,
//!   chunks of one byte. Each request has its timeout, but a core would be busy until then.
//! - TLS 1.3 has a client finish its handshake and send its request before the server has looked at the
//!   client's certificate. A server that then says that it lacks one has processed nothing.
//! - The buffer of a request's head holds the bearer token, and is used again only with the next request.

use std::fmt;
use std::io::ErrorKind;

use secrecy::zeroize::Zeroize;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Error, Timeout};

use super::connect::connect_failed;
use super::tcp::ConnectionCut;
use super::wording;

/// More than any answer has, with its head, its body as far as it is read, and what is around the chunks.
const ANSWER_BYTES: usize = 1024 * 1024;

/// The answer does not end.
#[derive(Debug)]
pub(super) struct EndlessAnswer;

impl fmt::Display for EndlessAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer does not end after {ANSWER_BYTES} bytes")
    }
}

impl std::error::Error for EndlessAnswer {}

#[derive(Debug)]
pub(super) struct Guard;

impl<In: Transport> Connector<In> for Guard {
    type Out = Guarded<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Guarded {
            inner,
            answer: 0,
            has_answered: false,
        }))
    }
}

#[derive(Debug)]
pub(super) struct Guarded<T> {
    inner: T,
    /// How many bytes of the answer have come.
    answer: usize,
    /// The server has sent something over this connection, and so has ended its handshake.
    has_answered: bool,
}

impl<T: Transport> Transport for Guarded<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let sent = self.inner.transmit_output(amount, timeout);
        if timeout.reason != Timeout::SendBody {
            self.answer = 0;
            self.inner.buffers().output()[..amount].zeroize();
        }
        sent
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.inner.buffers().input().len();
        match self.inner.await_input(timeout) {
            Ok(progress) => {
                let received = self.inner.buffers().input().len() - before;
                self.answer += received;
                self.has_answered |= received > 0;
                match self.answer > ANSWER_BYTES {
                    true => Err(Error::Other(Box::new(EndlessAnswer))),
                    false => Ok(progress),
                }
            }
            Err(Error::Io(cause)) if cause.kind() == ErrorKind::UnexpectedEof => {
                Err(Error::Other(Box::new(ConnectionCut)))
            }
            Err(error) if !self.has_answered && wording::lacks_client_certificate(&error) => Err(
                connect_failed(format!("TLS: {}", wording::describe(&error))),
            ),
            Err(error) => Err(error),
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
