//! Rounds of one world.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::fault::{self, Fault, FaultOrder};
use crate::judge::{self, Verdict};
use crate::planted_fault::PlantedFault;
use crate::table::Table;
use crate::traffic::Traffic;
use crate::world::World;

/// How many things happen in a round, bursts apart.
const STEPS: usize = 24;
/// After so many rounds everything is verified that takes longer.
const THOROUGHLY_EVERY: u32 = 50;

/// What is run.
pub(crate) struct Run<'a> {
    /// How many rounds.
    pub(crate) rounds: u32,
    /// Of all random choices.
    pub(crate) seed: u64,
    /// How many processes of the platform.
    pub(crate) nodes: usize,
    /// Only faults whose name contains one of these; all without any.
    pub(crate) only: Vec<String>,
    /// Ends at the first round in which something is wrong.
    pub(crate) stop_early: bool,
    /// Where the logs of the processes go.
    pub(crate) logs: Option<&'a Path>,
    /// What guard is taken away.
    pub(crate) planted: Option<PlantedFault>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// How many things were wrong.
    pub(crate) wrong: usize,
    /// The first round in which something was, and what.
    pub(crate) caught: Option<(u32, String)>,
}

impl Run<'_> {
    /// Plays the rounds in a world of their own.
    pub(crate) async fn play(&self) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let mut world = World::start(self.nodes, self.logs).await?;
        println!(
            "{} processes and {} boxes after {:.1} s; seed {}",
            self.nodes,
            world.participants.all_boxes.listening.len() + 2,
            began.elapsed().as_secs_f64(),
            self.seed
        );
        if let Some(planted) = &self.planted {
            planted.begin(&world).await?;
        }
        let mut order = FaultOrder::new(self.faults(&world)?, self.seed);
        let mut table = Table::default();
        let mut outcome = Outcome {
            wrong: 0,
            caught: None,
        };
        for round in 1..=self.rounds {
            let faults = order.draw();
            let verdict = self.round(&mut world, round, &faults).await?;
            table.add(&faults, &verdict);
            for problem in verdict.all() {
                outcome.wrong += 1;
                println!("       WRONG: {problem}");
                let caught = || (round, problem.clone());
                outcome.caught.get_or_insert_with(caught);
            }
            if self.stop_early && outcome.wrong > 0 {
                break;
            }
        }
        summary(&world, &table, began);
        world.stop().await?;
        Ok(outcome)
    }

    fn faults(&self, world: &World) -> anyhow::Result<Vec<Fault>> {
        let wanted = |fault: &Fault| {
            let name = fault.name();
            self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
        };
        let possible = fault::ALL.into_iter().filter(|one| one.is_possible(world));
        let faults: Vec<Fault> = possible.filter(wanted).collect();
        ensure!(!faults.is_empty(), "there is no such fault");
        Ok(faults)
    }

    async fn round(
        &self,
        world: &mut World,
        round: u32,
        faults: &[Fault],
    ) -> anyhow::Result<Verdict> {
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(round.into());
        let healed = disturb(world, faults, seed).await?;
        if let Some(planted) = &self.planted {
            planted.act(world).await?;
        }
        let mut verdict = judge::round(world, healed).await?;
        let last = round == self.rounds;
        if last || round.is_multiple_of(THOROUGHLY_EVERY) || self.planted.is_some() {
            verdict.other.extend(judge::thoroughly(world).await);
        }
        let names: Vec<String> = faults.iter().map(|one| one.name()).collect();
        let took = verdict.recovery.map_or_else(
            || "never".to_owned(),
            |took| format!("{:.2} s", took.as_secs_f64()),
        );
        println!("{round:>5}  {:<60} {took:>8}", names.join(" + "));
        Ok(verdict)
    }
}

/// Traffic, and faults that begin and end meanwhile; when they had ended.
async fn disturb(world: &mut World, faults: &[Fault], seed: u64) -> anyhow::Result<Instant> {
    let mut random = StdRng::seed_from_u64(seed);
    let lasts = faults.iter().map(|one| one.duration(&mut random)).max();
    let lasts = lasts.unwrap_or_default();
    let before = Duration::from_millis(random.random_range(50..500));
    // Everything has begun when the fault ends.
    let traffic = Traffic::start(&world.participants, STEPS, before + lasts, random.random());
    sleep(before).await;
    for fault in faults {
        fault.begin(world, &traffic, &mut random).await?;
    }
    sleep(lasts).await;
    for fault in faults {
        fault.end(world).await?;
    }
    world.heal().await?;
    let healed = Instant::now();
    if let Err(error) = traffic.finish().await {
        world.participants.shared.problem(format!("{error:#}"));
    }
    Ok(healed)
}

fn summary(world: &World, table: &Table, began: Instant) {
    let counters = &world.participants.shared.counters;
    let evidence = world.participants.shared.evidence();
    let payments: usize = evidence.sales().map(|(sale, _)| sale.answered.len()).sum();
    println!("\n{}", table.markdown());
    println!(
        "{payments} payments in {} s; {} codes read, {} callbacks refused as they had to be, {} commands and \
         configurations, {} moves to another merchant, {} suspensions, {} runs of settlements; {} requests were sent again",
        began.elapsed().as_secs(),
        counters.codes.load(Relaxed),
        counters.refused.load(Relaxed),
        counters.commands.load(Relaxed),
        counters.rebinds.load(Relaxed),
        counters.suspensions.load(Relaxed),
        counters.settlements.load(Relaxed),
        counters.repeated.load(Relaxed),
    );
}
