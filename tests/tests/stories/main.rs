//! The stories of the platform: each a few real parties, one platform, and what must be true in the end.

mod payment;
