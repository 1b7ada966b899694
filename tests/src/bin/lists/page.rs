//! The pages of people, as links lead to them.

use anyhow::ensure;
use tests::figures::Figures;
use tests::page_kind::{Walk, kind, links};
use tests::pages::Pages;
use tests::server::Server;
use tokio::time::Instant;

use crate::Args;
use crate::fill::{self, Known};

/// Prints each page's times and size; how many are over a limit.
pub(crate) async fn measure(server: &Server, known: &Known, args: &Args) -> anyhow::Result<usize> {
    fill::give_to_owner(server, known).await?;
    println!(
        "{:<76} {:>8} {:>8} {:>8} {:>6}",
        "", "p50 ms", "p95 ms", "max ms", "kB"
    );
    // Objects with as much below them as there can be, before the first that a list shows.
    let largest = [
        format!("/console/merchants/{}", known.merchant_id),
        format!("/console/devices/{}", known.device_id),
        format!("/console/payments/{}", known.transaction_id),
    ];
    let mut over = 0;
    for (role, start) in [("admin", "/console/"), ("merchant_owner", "/portal/")] {
        let browser = Pages::at(&server.demo.api_url, &server.root_pem);
        let login = &server.demo.logins[role];
        let shown = browser.log_in(&login.email, &login.password).await;
        ensure!(
            shown.status == 303,
            "{role} cannot log in: {}",
            shown.status
        );
        let mut walk = Walk::from(start);
        walk.add(largest.iter().map(String::as_str));
        while let Some(path) = walk.take_path() {
            let mut figures = Figures::default();
            let mut html = String::new();
            for time in 0..=args.times {
                let began = Instant::now();
                let shown = browser.get(&path).await;
                if time > 0 {
                    figures.add(began.elapsed());
                }
                ensure!(shown.status == 200, "{path}: {}", shown.status);
                html = shown.html;
            }
            let p95 = figures.quantile(0.95);
            let kilobytes = html.len().div_ceil(1000);
            let is_over = p95 > args.page_limit_ms || kilobytes > args.page_limit_kb;
            println!(
                "{:<76} {:>8.1} {p95:>8.1} {:>8.1} {kilobytes:>6}{}",
                kind(&path),
                figures.p50(),
                figures.max(),
                if is_over { "  <- over the limit" } else { "" }
            );
            over += usize::from(is_over);
            walk.add(links(&html));
        }
    }
    Ok(over)
}
