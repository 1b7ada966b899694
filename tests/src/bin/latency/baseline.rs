//! What the plain bridge is measured by, beside the platform in the same run.

use tests::figures::print_heading;
use tests::mosquitto::Mosquitto;
use tests::server::Server;

use crate::Args;
use crate::floors::Floors;
use crate::legs::Legs;
use crate::load::Load;
use crate::measured::{Flood, Row};
use crate::plain::{Losses, Plain};
use crate::split::Split;

/// Its figures.
pub(crate) struct Baseline {
    pub(crate) row: Row,
    pub(crate) floods: Vec<Flood>,
    pub(crate) losses: Losses,
}

/// Measures it with the boxes and the rate of the platform's first row.
pub(crate) async fn measure(
    server: &Server,
    mosquitto: &Mosquitto,
    args: &Args,
    load: Load,
    kills: usize,
) -> anyhow::Result<Baseline> {
    let mut plain = Plain::start(server, mosquitto, load.boxes).await?;
    plain.pay(args.payments, load.per_second).await?;
    let legs = Legs::from(plain.pay(args.payments, load.per_second).await?);
    let mut floods = Vec::new();
    for acquirers in &args.acquirers {
        floods.push(plain.flood(args.flood, *acquirers).await?);
    }
    Ok(Baseline {
        row: Row {
            load,
            legs,
            split: Split::default(),
        },
        floods,
        losses: plain.kill(kills).await?,
    })
}

impl Baseline {
    pub(crate) fn print(&self, floors: &Floors) {
        println!("the plain bridge: Mosquitto, rumqttc, sqlx, one row a commit, no outbox");
        print_heading(&format!("  {}", self.row.load));
        self.row.legs.print(floors);
        for flood in &self.floods {
            flood.print("bridge and Mosquitto");
        }
        println!("  {}", self.losses);
    }
}
