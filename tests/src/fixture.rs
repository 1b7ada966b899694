//! What most stories begin with: a platform, a shop with one terminal, a box at it.

use crate::credentials::Credentials;
use crate::shop::Shop;
use crate::soundbox::Soundbox;
use crate::world::World;

/// A platform and a shop.
pub async fn shop() -> (World, Shop) {
    let world = World::new().await;
    let shop = Shop::open(&world, "Warung Sari", 1).await;
    (world, shop)
}

/// A platform, a shop, and a box at its terminal that has not connected yet.
pub async fn device() -> (World, Shop, Credentials) {
    let (world, shop) = shop().await;
    let credentials = Credentials::at(&world, shop.terminal().id).await;
    (world, shop, credentials)
}

/// A platform, a shop, and a box that listens at its terminal.
pub async fn soundbox() -> (World, Shop, Soundbox) {
    let (world, shop, credentials) = device().await;
    let soundbox = Soundbox::switch_on(&world, credentials).await;
    (world, shop, soundbox)
}
