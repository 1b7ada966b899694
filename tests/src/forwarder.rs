//! An address that leads to one of several servers, as a load balancer's or a virtual one does. When it leads elsewhere, the
//! connections that there are end.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running forwarder; it ends with this value.
#[derive(Debug)]
pub struct Forwarder {
    /// Where it listens.
    pub address: SocketAddr,
    to: watch::Sender<SocketAddr>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Listens on a port of this machine.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port")?;
        let address = listener.local_addr()?;
        let (to, place) = watch::channel(to);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, place.clone()));
            }
        });
        Ok(Self { address, to, task })
    }

    /// Leads to another server from now on.
    pub fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, mut place: watch::Receiver<SocketAddr>) {
    let to = *place.borrow_and_update();
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    // Each message of the protocol is answered before the next: delaying small packets would cost 40 ms each.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    tokio::select! {
        // An end of either side is the end of both.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = place.changed() => {}
    }
}
