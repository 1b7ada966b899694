//! A proxy of byte streams, TCP or Unix sockets, whose connections can be cut, stalled, slowed and corrupted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How many bytes are passed on at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// What happens to the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are passed on.
    Pass,
    /// Connections are closed, and new ones too.
    Cut,
    /// No byte arrives, in neither direction, and no end learns of it.
    HalfOpen,
    /// No byte arrives at the server.
    OneWayUp,
    /// No byte arrives at the client.
    OneWayDown,
    /// Each chunk is delayed by this.
    Slow(Duration),
    /// One bit of each chunk is another.
    Corrupt,
}

/// What becomes, when the fault is over, of connections that lost bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// They stay open and dead, until an end gives up.
    Dead,
    /// They are closed.
    Closed,
}

/// Where a proxy listens or connects.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A running proxy.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

async fn connect(to: &Endpoint) -> io::Result<Box<dyn Stream>> {
    Ok(match to {
        Endpoint::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

impl Proxy {
    /// Passes connections to a free TCP port on to this endpoint.
    pub(crate) async fn tcp(to: SocketAddr, aftermath: Aftermath) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self::run(
            Listener::Tcp(listener),
            address,
            Endpoint::Tcp(to),
            aftermath,
        ))
    }

    /// Passes connections to one Unix socket on to another.
    pub(crate) fn unix(at: PathBuf, to: PathBuf, aftermath: Aftermath) -> anyhow::Result<Self> {
        let listener = Listener::Unix(UnixListener::bind(at)?);
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(Self::run(listener, nowhere, Endpoint::Unix(to), aftermath))
    }

    fn run(listener: Listener, address: SocketAddr, to: Endpoint, aftermath: Aftermath) -> Self {
        let (mode, modes) = watch::channel(Mode::Pass);
        let accepting = tokio::spawn(async move {
            loop {
                // Out of file descriptors, for example: the next attempt may succeed.
                let Ok(client) = listener.accept().await else {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                tokio::spawn(carry(client, to.clone(), modes.clone(), aftermath));
            }
        });
        Self {
            address,
            mode,
            accepting,
        }
    }

    /// Where clients connect by TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, until an end closes it or it is cut.
async fn carry(
    client: Box<dyn Stream>,
    to: Endpoint,
    modes: watch::Receiver<Mode>,
    aftermath: Aftermath,
) {
    if *modes.borrow() == Mode::Cut {
        return;
    }
    let Ok(server) = connect(&to).await else {
        return;
    };
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let lossy = Arc::new(AtomicBool::new(false));
    let half = |direction| Half {
        direction,
        modes: modes.clone(),
        lossy: Arc::clone(&lossy),
        aftermath,
    };
    // Either end closes both: the protocols that are carried have no use for a half-closed connection.
    tokio::select! {
        () = half(Direction::Up).pump(from_client, to_server) => {}
        () = half(Direction::Down).pump(from_server, to_client) => {}
    }
}

struct Half {
    direction: Direction,
    modes: watch::Receiver<Mode>,
    /// Bytes of this connection were lost.
    lossy: Arc<AtomicBool>,
    aftermath: Aftermath,
}

impl Half {
    async fn pump(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let mode = *self.modes.borrow_and_update();
            if mode == Mode::Cut || (mode == Mode::Pass && self.is_to_be_closed()) {
                return;
            }
            let bytes = tokio::select! {
                read = from.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(count) => &mut chunk[..count],
                },
                changed = self.modes.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            let mode = *self.modes.borrow();
            if self.is_lost(mode) {
                self.lossy.store(true, Ordering::Relaxed);
                continue;
            }
            match mode {
                Mode::Slow(delay) => sleep(delay).await,
                Mode::Corrupt => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x10;
                }
                _ => {}
            }
            if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
                return;
            }
        }
    }

    /// What follows lost bytes would be out of order, so a connection that lost some loses all.
    fn is_lost(&self, mode: Mode) -> bool {
        self.lossy.load(Ordering::Relaxed)
            || match mode {
                Mode::HalfOpen => true,
                Mode::OneWayUp => self.direction == Direction::Up,
                Mode::OneWayDown => self.direction == Direction::Down,
                _ => false,
            }
    }

    fn is_to_be_closed(&self) -> bool {
        self.aftermath == Aftermath::Closed && self.lossy.load(Ordering::Relaxed)
    }
}
