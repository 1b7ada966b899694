//! The public interface of the edge: starting it, publishing, kicking, stopping it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{DeviceId, Topic};

use crate::connection::{Entrance, Shared};
use crate::connection_limiter::{ConnectionCaps, ConnectionLimiter};
use crate::copies::Copies;
use crate::downlink::Plan;
use crate::failed_logins::FailedLogins;
use crate::handshake_executor::HandshakeExecutor;
use crate::host::{Downlink, EndReason, Host, Published, Undelivered};
use crate::limits::Limits;
use crate::listener::Listener;
use crate::observers::Observers;
use crate::refusal_log::RefusalLog;
use crate::registry::Registry;
use crate::router::{Router, RouterError};
use crate::session::count_downlinks;

/// Added to the longest end of a session, for the scheduling of the tasks.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// The configuration of an edge.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The address to listen on. Port 0: any free port.
    pub listen: SocketAddr,
    /// Must require a client certificate, and verify it against the fleet's CA: `certs::tls::server_config`.
    pub tls: Arc<ServerConfig>,
    /// Listeners for boxes without a certificate, which send user name and password.
    pub password: PasswordListeners,
    /// The limits. Numbers of connections are of all listeners together, rates of each listener.
    pub limits: Limits,
    /// The server that boxes of version 5 are told to use instead when this one is about to stop ("host:port").
    pub server_reference: Option<String>,
}

/// Where boxes without a certificate connect. None by default.
#[derive(Debug, Clone, Default)]
pub struct PasswordListeners {
    /// With TLS, which must not ask for a client certificate: `ClientAuth::NotAsked`.
    pub tls: Option<(SocketAddr, Arc<ServerConfig>)>,
    /// Without TLS: whoever sees the traffic reads the passwords and all messages.
    pub plain: Option<SocketAddr>,
}

/// Why the edge could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system refuses to start threads for handshakes.
    #[error("cannot start threads for handshakes")]
    Threads(#[source] io::Error),
    /// The router does not start.
    #[error(transparent)]
    Router(#[from] RouterError),
}

/// The MQTT edge around one host.
#[derive(Debug)]
pub struct Edge<H> {
    host: std::marker::PhantomData<H>,
}

impl<H: Host> Edge<H> {
    /// Listens, and serves clients until `stop`.
    pub async fn start(
        config: EdgeConfig,
        host: Arc<H>,
        stop: CancellationToken,
    ) -> Result<EdgeHandle, EdgeError> {
        let limits = Arc::new(config.limits);
        let limiter = Arc::new(ConnectionLimiter::new(ConnectionCaps {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            pre_auth_max: limits.unauthenticated_max,
        }));
        let bind = |address: SocketAddr| {
            let listen = |source| EdgeError::Listen { address, source };
            let listener =
                Listener::bind(address, Arc::clone(&limiter), &limits).map_err(listen)?;
            let local_addr = listener.local_addr().map_err(listen)?;
            Ok::<_, EdgeError>((listener, local_addr))
        };
        let (listener, local_addr) = bind(config.listen)?;
        let certificate = Entrance::Certificate(TlsAcceptor::from(config.tls));
        let mut listeners = vec![(listener, certificate)];
        let PasswordListeners { tls, plain } = config.password;
        let mut password_addr = None;
        if let Some((address, tls)) = tls {
            let (listener, local_addr) = bind(address)?;
            password_addr = Some(local_addr);
            listeners.push((listener, Entrance::Password(TlsAcceptor::from(tls))));
        }
        let mut plain_addr = None;
        metrics::gauge!("mqtt_plain_listeners").set(0.0);
        if let Some(address) = plain {
            let (listener, local_addr) = bind(address)?;
            plain_addr = Some(local_addr);
            listeners.push((listener, Entrance::PlainPassword));
            metrics::gauge!("mqtt_plain_listeners").set(1.0);
            tracing::warn!(
                address = %local_addr,
                "MQTT without TLS is on: whoever sees its traffic reads passwords and messages, and can change them"
            );
        }
        let (router, receivers) = Router::start(&limits).await?;
        let registry = Arc::new(Registry::new(
            limits.queue_max,
            limits.detached_max,
            limits.detached(),
        ));
        let observers = Arc::new(Observers::new(
            limits.observers_max,
            limits.observer_queue_bytes_max,
        ));
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            host,
            limits: Arc::clone(&limits),
            registry: Arc::clone(&registry),
            copies: Copies {
                observers: Arc::clone(&observers),
                router: Arc::clone(&router),
            },
            refusals: RefusalLog::default(),
            handshakes: HandshakeExecutor::new().map_err(EdgeError::Threads)?,
            failed_logins: FailedLogins::new(limits.failed_logins_per_s),
            server_reference: config.server_reference.map(Arc::from),
            stop: stop.clone(),
            tasks: tasks.clone(),
        });

        let (boxes, copies) = (Arc::clone(&registry), Arc::clone(&observers));
        let router_stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&router).pump(
            receivers,
            router_stop.clone(),
            move |device_id, message| match boxes.offer(device_id, message) {
                Some(offered) => count_downlinks(offered.as_str(), 1),
                None => count_downlinks("not_connected", 1),
            },
            move |copy| copies.offer(&copy),
        ));

        let stopped = CancellationToken::new();
        let accepting = stop.child_token();
        let handle = EdgeHandle {
            accepting: accepting.clone(),
            local_addr,
            password_addr,
            plain_addr,
            router,
            registry: Arc::clone(&registry),
            observers: Arc::clone(&observers),
            stopped: stopped.clone(),
        };
        tokio::spawn(async move {
            let listening = listeners.into_iter().map(|(listener, entrance)| {
                let (shared, tasks) = (Arc::clone(&shared), tasks.clone());
                tokio::spawn(listener.run(accepting.clone(), move |accepted| {
                    tasks.spawn(Arc::clone(&shared).serve(accepted, entrance.clone()));
                }))
            });
            futures_util::future::join_all(listening).await;
            stop.cancelled().await;
            drop(shared);
            registry.close();
            observers.close();
            tasks.close();
            let within = limits.end_of_session() + limits.admit() + STOP_SLACK;
            if tokio::time::timeout(within, tasks.wait()).await.is_err() {
                tracing::error!(left = tasks.len(), "connections did not end in time");
            }
            router_stop.cancel();
            stopped.cancel();
        });
        Ok(handle)
    }
}

/// The handle of a running edge. Clones refer to the same edge.
#[derive(Debug, Clone)]
pub struct EdgeHandle {
    local_addr: SocketAddr,
    password_addr: Option<SocketAddr>,
    plain_addr: Option<SocketAddr>,
    router: Arc<Router>,
    registry: Arc<Registry>,
    observers: Arc<Observers>,
    accepting: CancellationToken,
    stopped: CancellationToken,
}

impl EdgeHandle {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where boxes with a password connect by TLS.
    pub fn password_addr(&self) -> Option<SocketAddr> {
        self.password_addr
    }

    /// Where boxes with a password connect without TLS.
    pub fn plain_addr(&self) -> Option<SocketAddr> {
        self.plain_addr
    }

    /// Hands a downlink to the router, and returns the outcome. Never blocks, and is not durable: the outbox sends again
    /// what a box did not acknowledge.
    ///
    /// A message whose key is already queued or in flight on the device's live session is not published; the outcome is
    /// then that of the earlier one.
    pub fn publish(&self, downlink: Downlink) -> Published {
        let published = self.hand_over(downlink);
        if let Published::Refused(why) = published {
            count_downlinks(why.as_str(), 1);
        }
        published
    }

    fn hand_over(&self, downlink: Downlink) -> Published {
        let Some(handle) = self.registry.live_handle(downlink.device_id) else {
            return Published::Refused(Undelivered::NotConnected);
        };
        let topic = Topic::new(downlink.device_id, downlink.channel).to_string();
        // Locked until the router has the message, so that the plan of the next one counts it.
        let mut outbound = handle.outbound();
        match outbound.plan(topic.as_bytes(), &downlink) {
            Plan::Decided(published) => published,
            Plan::Publish(published) => match self.router.publish(downlink) {
                Some(sequence) => {
                    outbound.expect(sequence);
                    published
                }
                None => Published::Refused(Undelivered::RouterUnavailable),
            },
        }
    }

    /// Whether the device has a live session here.
    pub fn is_live(&self, device: DeviceId) -> bool {
        self.registry.is_live(device)
    }

    /// The number of live sessions.
    pub fn live(&self) -> usize {
        self.registry.live()
    }

    /// Ends the device's session, also one that is still being admitted. The host gets the will, as at any other end.
    pub fn kick(&self, device: DeviceId, reason: EndReason) {
        self.registry.kick(device, reason);
    }

    /// Ends the device's live session here if it is older than the one with this epoch, which another process has.
    pub fn kick_older_than(&self, device: DeviceId, epoch: i64) {
        self.registry.kick_older_than(device, epoch);
    }

    /// Ends all sessions of boxes that there are now, also those that are still being admitted. New ones may come.
    pub fn kick_all(&self, reason: EndReason) {
        self.registry.kick_all(reason);
    }

    /// Accepts no more connections, and ends the sessions of boxes evenly over this time, but not fewer than `per_s_min` a
    /// second: they connect to other processes meanwhile. Observers stay until the stop.
    pub async fn drain(&self, within: Duration, per_s_min: u32) {
        self.accepting.cancel();
        let handles = self.registry.live_handles();
        let fastest = Duration::from_secs(1) / per_s_min.max(1);
        let count = u32::try_from(handles.len()).unwrap_or(u32::MAX).max(1);
        let each = (within / count).min(fastest);
        let began = tokio::time::Instant::now();
        for (place, handle) in (0_u32..).zip(handles) {
            // Timers are not exact to the microsecond: what is overdue is done at once.
            tokio::time::sleep_until(began + each * place).await;
            handle.control.kick(EndReason::ServerMoved);
        }
    }

    /// Ends the device's session, also one that is still being admitted, if it uses one of these certificates (serial
    /// numbers as in [`crate::Connecting`]). A session with a newer certificate continues.
    pub fn kick_certificates(&self, device: DeviceId, certificate_serials: &[String]) {
        self.registry.kick_certificates(device, certificate_serials);
    }

    /// The certificate serial numbers of the connected observers.
    pub fn observer_certificates(&self) -> Vec<String> {
        self.observers.certificate_serials()
    }

    /// Ends the observers that use one of these certificates.
    pub fn kick_observers(&self, certificate_serials: &[String]) {
        self.observers.kick_certificates(certificate_serials);
    }

    /// Drops everything that was published to the device before this call and has not been sent: its queue, what is
    /// still inside the router, and the unacknowledged packets of its earlier session.
    pub fn drop_queued(&self, device: DeviceId) {
        self.registry.withdraw(device, self.router.sequence());
    }

    /// Resolves when, after the stop, every connection has been closed, or the time for it is over.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    // Here and not in tests/edge, because it breaks the router's thread.
    use crate::common::World;

    #[tokio::test]
    async fn boxes_receive_messages_after_the_routers_thread_has_ended() {
        let world = World::new().await;
        let mut client = world.listening_box(1).await;
        world.publish(1, 1);
        assert_eq!(client.receive_and_acknowledge().await, "1");
        world.edge.router.break_thread();
        // The session continues.
        client.ping().await;
        // The outbox sends until it is acknowledged; the key makes sure that the box is sent it once.
        let mut outbox = tokio::time::interval(Duration::from_millis(5));
        let delivery = client.receive_and_acknowledge();
        tokio::pin!(delivery);
        let received = loop {
            tokio::select! {
                received = &mut delivery => break received,
                _ = outbox.tick() => world.publish(1, 2),
            }
        };
        assert_eq!(received, "2");
    }
}
