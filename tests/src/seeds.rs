//! Seeds of tests that try many orders.
//!
//! `SOUNDBOX_SEED` is the first seed, a random one unless it is set; `SOUNDBOX_SEEDS` how many are tried. Both are printed,
//! so that a failure can be seen again.

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seeds to try: `count` of them unless `SOUNDBOX_SEEDS` is set.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let first = number("SOUNDBOX_SEED").unwrap_or_else(rand::random);
    let count = number("SOUNDBOX_SEEDS").unwrap_or(count);
    println!("SOUNDBOX_SEED={first} SOUNDBOX_SEEDS={count}");
    (0..count).map(move |case| first.wrapping_add(case))
}
