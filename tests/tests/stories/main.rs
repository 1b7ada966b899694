//! The stories of the platform: each a few real parties, one platform, and what must be true in the end.

mod absence;
mod activation;
mod binding;
mod callback;
mod dynamic_qr;
mod heartbeat;
mod identity;
mod payment;
mod role;
mod seed;
mod view;
