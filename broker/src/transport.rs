//! One connection's bytes and timeouts.
//!
//! A transport is polled, not awaited: every turn of a session writes, then reads, then checks the timeouts. So neither
//! direction blocks the other: packets of a box that does not read are still taken, until its unread output has stalled
//! for too long. A client that exceeds its packet rate is not read for a while, so that TCP slows it.
//!
//! An idle transport holds no buffers: bytes are read through a few KiB of the polling thread's stack, and both buffers
//! are freed when they are empty. Memory, not speed, limits the number of boxes on a machine.

use std::future::Future as _;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::cell_rate::CellRate;
use crate::frame::{Frame, FrameError};

/// Messages are taken from a queue while less than this waits in the output.
pub(crate) const OUTPUT_FILL_BYTES: usize = 16 * 1024;
/// Bytes per read.
const READ_BYTES: usize = 4 * 1024;
/// The shortest pause of a client that exceeds its packet rate: short enough to continue smoothly, and long enough that
/// the pauses themselves cost little.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The most bytes that are discarded while the peer reads the last packet.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// An event on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// There may be packets to take.
    Received,
    /// All of `output` has been written to the socket.
    Written,
    /// The peer closed the connection, or it broke.
    Lost,
    /// No packet arrived within `silence_max`.
    Silent,
    /// The peer read nothing within `stalled_max`.
    Stalled,
}

/// The timeouts and the packet rate of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransportLimits {
    /// The longest time without a packet of the peer.
    pub(crate) silence_max: Duration,
    /// The longest time in which the peer reads nothing of its output.
    pub(crate) stalled_max: Duration,
    /// Packets of the peer per second; further ones are read later.
    pub(crate) packets_per_s_max: u32,
}

#[derive(Debug)]
pub(crate) struct Transport<S> {
    stream: S,
    /// Bytes that were received and are not yet taken.
    input: BytesMut,
    /// Bytes to be written.
    pub(crate) output: BytesMut,
    /// The stream may hold bytes that it has not sent.
    unflushed: bool,
    /// Since when writing makes no progress.
    stalled_since: Option<Instant>,
    stalled_max: Duration,
    last_packet: Instant,
    silence_max: Duration,
    packet_rate: CellRate,
    /// Until when no packet is taken.
    paused_until: Option<Instant>,
    /// Fires at the earliest deadline, or before it; it is set again then.
    alarm: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    pub(crate) fn new(stream: S, limits: TransportLimits) -> Self {
        let now = Instant::now();
        let TransportLimits {
            silence_max,
            stalled_max,
            packets_per_s_max,
        } = limits;
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            stalled_since: None,
            stalled_max,
            last_packet: now,
            silence_max,
            packet_rate: CellRate::new(packets_per_s_max),
            paused_until: None,
            alarm: Box::pin(tokio::time::sleep_until(now + silence_max)),
        }
    }

    pub(crate) fn set_silence_max(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
        self.last_packet = Instant::now();
        self.alarm.as_mut().reset(self.last_packet + silence_max);
    }

    /// The next packet, if it is complete and the packet rate allows it. After `None` the caller polls again.
    ///
    /// # Errors
    /// When the next bytes are no packet, or one with more than `body_bytes_max` after its fixed header.
    pub(crate) fn take(&mut self, body_bytes_max: usize) -> Result<Option<Frame>, FrameError> {
        if self.paused_until.is_some() {
            return Ok(None);
        }
        let frame = Frame::take(&mut self.input, body_bytes_max)?;
        if let Some(frame) = &frame {
            let now = Instant::now();
            self.last_packet = now;
            if let Some(due) = self.packet_rate.delay(now.into_std(), weight(frame)) {
                metrics::counter!("mqtt_clients_slowed_total").increment(1);
                self.paused_until = Some((now + PAUSE_MIN).max(due.into()));
            }
        } else if self.input.is_empty() {
            // Frees its memory.
            self.input = BytesMut::new();
        }
        Ok(frame)
    }

    /// Waits for the next event.
    pub(crate) async fn next(&mut self) -> Event {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Writes, reads and checks the timeouts. The caller bounds `input`: it takes every complete packet before it polls
    /// again, and refuses packets over the limit.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let written = match self.poll_write(cx) {
            Ok(written) => written,
            Err(Broken) => return Poll::Ready(Event::Lost),
        };
        match self.poll_read(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Event::Received),
            Poll::Ready(Err(Broken)) => return Poll::Ready(Event::Lost),
            Poll::Pending => {}
        }
        if let Poll::Ready(event) = self.poll_timeouts(cx) {
            return Poll::Ready(event);
        }
        if written {
            return Poll::Ready(Event::Written);
        }
        Poll::Pending
    }

    /// `Ok(true)`: there was output, and all of it has been written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        let had_output = !self.output.is_empty();
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Broken),
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.unflushed = true;
                    self.stalled_since = None;
                }
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return Ok(false);
                }
            }
        }
        if had_output {
            self.output = BytesMut::new();
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    self.stalled_since = None;
                }
                Poll::Ready(Err(_)) => return Err(Broken),
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                }
            }
        }
        Ok(had_output)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.paused_until.is_some() {
            // The alarm wakes it.
            return Poll::Pending;
        }
        let mut storage = [MaybeUninit::<u8>::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut storage);
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        if result.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(Err(Broken));
        }
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    fn poll_timeouts(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            let silent_at = self.last_packet + self.silence_max;
            let stalled_at = self.stalled_since.map(|since| since + self.stalled_max);
            let due = [stalled_at, self.paused_until]
                .into_iter()
                .flatten()
                .fold(silent_at, Instant::min);
            if self.alarm.deadline() > due {
                self.alarm.as_mut().reset(due);
            }
            ready!(self.alarm.as_mut().poll(cx));
            let now = Instant::now();
            if stalled_at.is_some_and(|at| at <= now) {
                return Poll::Ready(Event::Stalled);
            }
            if silent_at <= now {
                return Poll::Ready(Event::Silent);
            }
            if self.paused_until.is_some_and(|until| until <= now) {
                self.paused_until = None;
                return Poll::Ready(Event::Received);
            }
            // The alarm was set before the last packet: the usual case.
            self.alarm.as_mut().reset(due);
        }
    }

    /// Writes the output and closes the sending side. `None`: it failed, or took longer than `within`.
    pub(crate) async fn shut_down(mut self, within: Duration) -> Option<Lingering<S>> {
        let shutdown = async {
            self.stream.write_all(&self.output).await?;
            self.stream.shutdown().await
        };
        let result = tokio::time::timeout(within, shutdown).await;
        matches!(result, Ok(Ok(()))).then_some(Lingering(self.stream))
    }
}

/// A connection whose sending side is closed.
///
/// A socket that is closed with unread bytes in it is reset, and a reset can overtake the last packet. So the peer has a
/// moment to read it and to close its side.
#[derive(Debug)]
pub(crate) struct Lingering<S>(S);

impl<S: AsyncRead + Unpin> Lingering<S> {
    pub(crate) async fn linger(mut self, at_most: Duration) {
        let discard = async {
            let mut left = LINGER_BYTES_MAX;
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = self.0.read(&mut buffer).await {
                left = left.saturating_sub(count);
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(at_most, discard).await;
    }
}

/// The cells that a packet counts in the packet rate: one, and one more for every whole KiB, because a thousand filters
/// are more work than one.
fn weight(frame: &Frame) -> u32 {
    u32::try_from(frame.bytes.len() / 1024).map_or(u32::MAX, |more| more.saturating_add(1))
}

/// The connection is broken or closed.
struct Broken;

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(30);
    const STALLED: Duration = Duration::from_secs(10);
    const PING: [u8; 2] = [0xc0, 0];

    fn pair(capacity: usize) -> (Transport<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        let limits = TransportLimits {
            silence_max: SILENCE,
            stalled_max: STALLED,
            packets_per_s_max: 10,
        };
        (Transport::new(ours, limits), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_without_a_complete_packet_do_not_end_the_silence() {
        let (mut transport, mut peer) = pair(64);
        let started = Instant::now();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            peer.write_all(b"x").await.unwrap();
            assert_eq!(transport.next().await, Event::Received);
        }
        assert_eq!(transport.next().await, Event::Silent);
        assert_eq!(started.elapsed(), SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_packet_ends_the_silence() {
        let (mut transport, mut peer) = pair(64);
        let started = Instant::now();
        tokio::time::sleep(Duration::from_secs(20)).await;
        peer.write_all(&PING).await.unwrap();
        assert_eq!(transport.next().await, Event::Received);
        assert!(transport.take(64).unwrap().is_some());
        assert_eq!(transport.next().await, Event::Silent);
        assert_eq!(started.elapsed(), Duration::from_secs(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_stalls_while_its_packets_are_still_taken() {
        let (mut transport, mut peer) = pair(8);
        transport.output.extend_from_slice(&[7; 100]);
        let started = Instant::now();
        peer.write_all(b"ping").await.unwrap();
        assert_eq!(transport.next().await, Event::Received);
        assert_eq!(transport.next().await, Event::Stalled);
        assert_eq!(started.elapsed(), STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_reads_on_is_not_stalled() {
        let (mut transport, mut peer) = pair(8);
        transport.output.extend_from_slice(&[7; 100]);
        let reader = tokio::spawn(async move {
            let mut byte = [0; 4];
            for _ in 0..25 {
                tokio::time::sleep(Duration::from_millis(900)).await;
                peer.read_exact(&mut byte).await.unwrap();
            }
            peer
        });
        assert_eq!(transport.next().await, Event::Written);
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_over_its_packet_rate_is_slowed_and_loses_nothing() {
        let (mut transport, mut peer) = pair(16);
        let started = Instant::now();
        let sender = tokio::spawn(async move {
            peer.write_all(&PING.repeat(30)).await.unwrap();
            peer
        });
        let mut taken = Vec::new();
        while taken.len() < 30 {
            assert_eq!(transport.next().await, Event::Received);
            while transport.take(64).unwrap().is_some() {
                taken.push(started.elapsed().as_secs());
            }
        }
        // A burst of one second's worth and the packet after which the pause begins, then ten a second.
        assert_eq!(taken.iter().filter(|second| **second == 0).count(), 11 + 9);
        assert_eq!(taken.last(), Some(&1));
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn a_closed_connection_is_lost() {
        let (mut transport, peer) = pair(64);
        drop(peer);
        assert_eq!(transport.next().await, Event::Lost);
    }
}
